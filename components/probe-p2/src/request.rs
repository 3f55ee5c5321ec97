use probing::{Failure, Plan};
use wasip2::http::types::{
    Fields, HeaderError, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};

/// A request that is ready to be sent, and its body, if it has one.
pub struct Prepared {
    pub request: OutgoingRequest,
    pub options: RequestOptions,
    pub body: Option<OutgoingBody>,
    pub trailers: Option<Fields>,
}

/// Creates the request part by part, so that an error names the refused part.
pub fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    let headers = fields("header", &plan.headers)?;
    let trailers = match &plan.trailers[..] {
        [] => None,
        trailers => Some(fields("trailer", trailers)?),
    };
    let request = OutgoingRequest::new(headers);
    let refused = |part| move |()| Failure::new("request", part);
    request
        .set_method(&method(&plan.method))
        .map_err(refused("method"))?;
    request
        .set_scheme(Some(&scheme(&plan.target.scheme)))
        .map_err(refused("scheme"))?;
    request
        .set_authority(plan.target.authority.as_deref())
        .map_err(refused("authority"))?;
    request
        .set_path_with_query(plan.target.path.as_deref())
        .map_err(refused("path"))?;
    let body = match plan.body {
        Some(_) => Some(request.body().map_err(refused("body"))?),
        None => None,
    };
    Ok(Prepared {
        request,
        options: options(plan)?,
        body,
        trailers,
    })
}

fn fields(phase: &'static str, fields: &[(String, Vec<u8>)]) -> Result<Fields, Failure> {
    let made = Fields::new();
    for (name, value) in fields {
        made.append(name, value).map_err(|error| {
            Failure::new(
                phase,
                match error {
                    HeaderError::InvalidSyntax => "invalid-syntax",
                    HeaderError::Forbidden => "forbidden",
                    HeaderError::Immutable => "immutable",
                },
            )
        })?;
    }
    Ok(made)
}

fn options(plan: &Plan) -> Result<RequestOptions, Failure> {
    let options = RequestOptions::new();
    let refused = |()| Failure::new("options", "not-supported");
    options.set_connect_timeout(plan.connect).map_err(refused)?;
    options
        .set_first_byte_timeout(plan.first_byte)
        .map_err(refused)?;
    options
        .set_between_bytes_timeout(plan.between_bytes)
        .map_err(refused)?;
    Ok(options)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}
