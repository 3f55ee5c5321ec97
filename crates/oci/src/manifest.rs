use serde::Deserialize;

use crate::digest::Digest;

/// The layer type that WAGI pushed and pulled.
pub(crate) const WAGI_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// The layer types of modules. After WAGI's: that of the CNCF's artifact format, and what `wasm-to-oci` and
/// others wrote.
const LAYERS: [&str; 3] = [
    WAGI_LAYER,
    "application/wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// The parts of a manifest, or of an index of several, that are needed.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

/// The target of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Layer(Digest),
    /// Another manifest, from an index.
    Manifest(Digest),
    /// Neither; the types found.
    Nothing(String),
}

impl Manifest {
    pub(crate) fn content(&self) -> Content {
        let is_wasm = |entry: &&Descriptor| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.architecture.starts_with("wasm"))
        };
        let module = LAYERS
            .iter()
            .find_map(|kind| self.layers.iter().find(|layer| layer.media_type == *kind));
        let manifest = match &self.manifests[..] {
            [only] => Some(only),
            several => several.iter().find(is_wasm),
        };
        let found = match (module, manifest) {
            (Some(layer), _) => Digest::parse(&layer.digest).map(Content::Layer),
            (None, Some(entry)) => Digest::parse(&entry.digest).map(Content::Manifest),
            (None, None) => None,
        };
        found.unwrap_or_else(|| {
            let all = self.layers.iter().chain(&self.manifests);
            let kinds: Vec<_> = all.map(|layer| format!("`{}`", layer.media_type)).collect();
            Content::Nothing(match kinds.is_empty() {
                true => "none".to_owned(),
                false => kinds.join(", "),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(json: &str) -> Content {
        serde_json::from_str::<Manifest>(json).unwrap().content()
    }

    fn digest(digit: char) -> Digest {
        Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
    }

    #[test]
    fn the_module_is_the_first_layer_that_is_one() {
        let (a, b) = (digest('a'), digest('b'));
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"y","size":1}},"layers":[
                {{"mediaType":"text/plain","digest":"{a}","size":1}},
                {{"mediaType":"application/wasm","digest":"{b}","size":1}}]}}"#
        );
        assert_eq!(content(&json), Content::Layer(b));
    }

    #[test]
    fn an_index_leads_to_the_manifest_for_wasm_or_the_only_one() {
        let (a, b) = (digest('a'), digest('b'));
        let entry = |digest: &Digest, architecture: &str| {
            format!(
                r#"{{"mediaType":"m","digest":"{digest}","platform":{{"architecture":"{architecture}","os":"x"}}}}"#
            )
        };
        let (amd, wasm) = (entry(&a, "amd64"), entry(&b, "wasm"));
        assert_eq!(
            content(&format!(r#"{{"manifests":[{amd},{wasm}]}}"#)),
            Content::Manifest(b)
        );
        assert_eq!(
            content(&format!(r#"{{"manifests":[{amd}]}}"#)),
            Content::Manifest(a)
        );
        assert_eq!(
            content(&format!(r#"{{"manifests":[{amd},{amd}]}}"#)),
            Content::Nothing("`m`, `m`".to_owned())
        );
    }

    #[test]
    fn what_holds_no_module_is_told_with_what_it_holds() {
        assert_eq!(content("{}"), Content::Nothing("none".to_owned()));
        let tar = r#"{"layers":[{"mediaType":"tar","digest":"sha256:x"}]}"#;
        assert_eq!(content(tar), Content::Nothing("`tar`".to_owned()));
        let odd = r#"{"layers":[{"mediaType":"application/wasm","digest":"../../x"}]}"#;
        assert_eq!(
            content(odd),
            Content::Nothing("`application/wasm`".to_owned())
        );
    }
}
