use guest::{BodyEnd, ErrorCode, Fields, Method, Request, Trailers};
use probing::{Failure, Plan};
use wasip3::http::types::{HeaderError, RequestOptions, RequestOptionsError, Scheme};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamWriter};
use wasip3::{wit_future, wit_stream};

/// A request that is ready to be sent, and the guest's ends of its body.
pub struct Prepared {
    pub request: Request,
    pub body: Option<StreamWriter<u8>>,
    pub end: FutureWriter<BodyEnd>,
    pub trailers: Option<Trailers>,
    /// The result of sending it.
    pub sent: FutureReader<Result<(), ErrorCode>>,
}

/// Creates the request part by part, so that an error names the refused part.
pub fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    let headers = fields("header", &plan.headers)?;
    let trailers = match &plan.trailers[..] {
        [] => None,
        trailers => Some(fields("trailer", trailers)?),
    };
    let (body, contents) = match plan.body {
        Some(_) => {
            let (writer, reader) = wit_stream::new();
            (Some(writer), Some(reader))
        }
        None => (None, None),
    };
    let (end, ended) = wit_future::new(|| Ok(None));
    let options = options(plan)?;
    let (request, sent) = Request::new(headers, contents, ended, Some(options));

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
    Ok(Prepared {
        request,
        body,
        end,
        trailers,
        sent,
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
                    HeaderError::SizeExceeded => "size-exceeded",
                    HeaderError::Other(_) => "other",
                },
            )
        })?;
    }
    Ok(made)
}

fn options(plan: &Plan) -> Result<RequestOptions, Failure> {
    let options = RequestOptions::new();
    let refused = |error| {
        Failure::new(
            "options",
            match error {
                RequestOptionsError::NotSupported => "not-supported",
                RequestOptionsError::Immutable => "immutable",
                RequestOptionsError::Other(_) => "other",
            },
        )
    };
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
