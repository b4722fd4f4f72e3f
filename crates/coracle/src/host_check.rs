//! What this host lacks, said before anything is started: fatal lacks stop the start, others are warnings; each names its way out.

use oci_runtime::status::Severity;

use crate::failure::Failure;
use crate::options::Place;

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    let mut fatal = Vec::new();
    for lack in oci_runtime::probe::probe(&place.data_dir) {
        report(lack.severity == Severity::Fatal, format!("{}; {}", lack.meaning, lack.way_out), &mut fatal);
    }
    for finding in netd::probe::findings() {
        report(finding.is_fatal, finding.text, &mut fatal);
    }
    match fatal.as_slice() {
        [] => Ok(()),
        lacks => Err(Failure::new(format!("this host cannot run pods: {}", lacks.join(" | ")))),
    }
}

fn report(is_fatal: bool, text: String, fatal: &mut Vec<String>) {
    if is_fatal {
        fatal.push(text);
    } else {
        tracing::warn!(lack = text, "this host lacks something");
    }
}
