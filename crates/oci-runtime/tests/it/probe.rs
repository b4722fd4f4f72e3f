//! What the host is said to lack.

use oci_runtime::probe::probe;
use oci_runtime::status::Severity;

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[("probe::a_host_that_runs_pods_lacks_nothing_fatal", a_host_that_runs_pods_lacks_nothing_fatal)];

fn a_host_that_runs_pods_lacks_nothing_fatal() {
    let node = Node::new();
    let lacks = probe(&node.directory.join("not/made/yet"));
    for lack in &lacks {
        println!("     {:?}: {}; {}", lack.severity, lack.meaning, lack.way_out);
        assert!(!lack.meaning.ends_with('.') && !lack.way_out.is_empty());
    }
    assert!(lacks.iter().all(|lack| lack.severity != Severity::Fatal), "{lacks:?}");
}
