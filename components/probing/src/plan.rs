//! The outgoing request to make. The query has all of it, percent-encoded; see [`Plan`].

/// The outgoing request that an incoming one describes.
///
/// | parameter | |
/// | --- | --- |
/// | `to=http://HOST:PORT/PATH` | the destination; `scheme`, `authority` and `path` replace its parts, and may be anything; with `path=none` or `authority=none`, none is set |
/// | `method=GET` | |
/// | `header=NAME:VALUE`, `header-hex=NAME:HEX` | may be given several times, and may be anything |
/// | `fields=N&field-size=S` | `N` more fields, `x-I`, with values of `S` bytes |
/// | `body=N` | a body of N bytes; without it there is none |
/// | `trailer=NAME:VALUE` | as `header` |
/// | `connect`, `first`, `between` | the timeouts of `request-options`, in nanoseconds |
/// | `send=whole` | see [`Send`] |
/// | `read=whole` | see [`Read`] |
/// | `n=1` | the number of such requests to make at once; the answer then counts their results |
pub struct Plan {
    pub target: Target,
    pub method: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The length of the body. `None` sends no body.
    pub body: Option<usize>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub connect: Option<u64>,
    pub first_byte: Option<u64>,
    pub between_bytes: Option<u64>,
    pub send: Send,
    pub read: Read,
    pub count: usize,
}

/// The parts of a URL, as they are passed to the host.
pub struct Target {
    pub scheme: String,
    pub authority: Option<String>,
    pub path: Option<String>,
}

/// How the request's body is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// It is written and finished.
    Whole,
    /// It is written byte by byte, with a wait of a millisecond after each, and finished.
    Trickle,
    /// It is written; after the response was read, an empty write follows, and it is finished.
    Late,
    /// It is written, and never finished.
    Hold,
    /// It is written, and then cut: dropped without an end (0.2), or ended by an error (0.3).
    Cut,
}

/// How much of the response is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The body to its end, and the trailers.
    Whole,
    /// The first bytes of the body.
    Part,
    /// Nothing beyond the head.
    Never,
}

impl Plan {
    /// Reads a path with its query.
    pub fn parse(path_with_query: &str) -> Result<Self, String> {
        let (_, query) = path_with_query
            .split_once('?')
            .unwrap_or((path_with_query, ""));
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let get = |name: &str| {
            query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        let number = |name: &str| {
            get(name)
                .map(|value| value.parse::<u64>())
                .transpose()
                .map_err(|_| format!("{name} is no number"))
        };

        let mut headers = fields(&query, "header")?;
        let size = usize::try_from(number("field-size")?.unwrap_or(1)).unwrap_or(usize::MAX);
        for i in 0..number("fields")?.unwrap_or(0) {
            headers.push((format!("x-{i}"), vec![b'v'; size]));
        }
        Ok(Self {
            target: Target::parse(get)?,
            method: get("method").unwrap_or("GET").to_owned(),
            headers,
            body: number("body")?.map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
            trailers: fields(&query, "trailer")?,
            connect: number("connect")?,
            first_byte: number("first")?,
            between_bytes: number("between")?,
            send: match get("send").unwrap_or("whole") {
                "whole" => Send::Whole,
                "trickle" => Send::Trickle,
                "late" => Send::Late,
                "hold" => Send::Hold,
                "cut" => Send::Cut,
                other => return Err(format!("send={other}")),
            },
            read: match get("read").unwrap_or("whole") {
                "whole" => Read::Whole,
                "part" => Read::Part,
                "never" => Read::Never,
                other => return Err(format!("read={other}")),
            },
            count: usize::try_from(number("n")?.unwrap_or(1)).unwrap_or(usize::MAX),
        })
    }

    /// The bytes of the body.
    pub fn body_bytes(&self) -> Vec<u8> {
        vec![b'b'; self.body.unwrap_or(0)]
    }
}

impl Target {
    fn parse<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let url = get("to").unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let unless_none = |text: &str| (text != "none").then(|| text.to_owned());
        Ok(Self {
            scheme: get("scheme").unwrap_or(scheme).to_owned(),
            authority: unless_none(get("authority").unwrap_or(authority)),
            path: unless_none(get("path").unwrap_or(path)),
        })
    }
}

/// The fields named by `KIND=NAME:VALUE` and `KIND-hex=NAME:HEX`, in their order.
fn fields(query: &[(String, String)], kind: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let in_hex = format!("{kind}-hex");
    query
        .iter()
        .filter(|(name, _)| *name == kind || *name == in_hex)
        .map(|(parameter, text)| {
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| format!("{parameter}={text} is not NAME:VALUE"))?;
            let value = if *parameter == in_hex {
                from_hex(value).ok_or_else(|| format!("{value} is not hexadecimal"))?
            } else {
                value.as_bytes().to_vec()
            };
            Ok((name.to_owned(), value))
        })
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .bytes()
        .map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect::<Option<Vec<u8>>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(high * 16 + low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_target_may_be_replaced() {
        let plan = Plan::parse("/?to=http://a:1/b?c&path=%2F%0D&authority=none").unwrap();
        assert_eq!(plan.target.scheme, "http");
        assert_eq!(plan.target.authority, None);
        assert_eq!(plan.target.path.as_deref(), Some("/\r"));
    }

    #[test]
    fn fields_keep_their_bytes_and_their_order() {
        let plan = Plan::parse("/?header=a:b:c&header-hex=x:00ff&header=a:&fields=1").unwrap();
        let expected: [(&str, &[u8]); 4] =
            [("a", b"b:c"), ("x", b"\x00\xff"), ("a", b""), ("x-0", b"v")];
        let headers = plan.headers.iter().map(|(name, value)| (&**name, &**value));
        assert_eq!(headers.collect::<Vec<_>>(), expected);
        assert!(Plan::parse("/?header-hex=x:0").is_err());
    }
}
