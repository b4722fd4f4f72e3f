//! Every kind's seeds as protobuf and YAML, and back in each format; created for a moment only.

use crate::seeds;
use crate::story::{Payload, Request, Story};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

pub(super) fn stories() -> Vec<Story> {
    seeds::subjects()
        .iter()
        .map(|subject| {
            let mut story = Story::for_pods(format!("formats/{}", subject.label()));
            let path = format!("{}?dryRun=All", subject.collection());
            for (i, seed) in subject.all("x").into_iter().enumerate() {
                let mut sent = Request::new(format!("protobuf-{i}"), "POST", &*path, "").header("content-type", PROTOBUF).accept(PROTOBUF);
                sent.payload = Payload::Protobuf(seed.to_string());
                story.add(sent);
                let yaml = codec::yaml::write(&seed);
                story.add(
                    Request::new(format!("yaml-{i}"), "POST", &*path, yaml)
                        .header("content-type", "application/yaml")
                        .accept("application/yaml"),
                );
            }
            story
        })
        .collect()
}
