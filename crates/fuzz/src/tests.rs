use std::cell::RefCell;
use std::panic::catch_unwind;

fn complaint(exercise: impl Fn(&[u8]) -> bool + std::panic::UnwindSafe) -> Option<String> {
    let panic = catch_unwind(|| crate::run(&[r#"{"a": [1, "b"]}"#], &["word"], exercise)).err()?;
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

#[test]
fn faults_are_found() {
    assert_eq!(complaint(|input| input.len() > 10), None);
    assert_eq!(complaint(|input| !input.ends_with(b"word") || panic!("found")).as_deref(), Some("found"));
    let grows = |input: &[u8]| input.len() == 3 && vec![1_u8; 512 << 20].iter().all(|byte| *byte == 1);
    assert!(complaint(grows).is_some_and(|text| text.contains("KiB on b\"")));
}

#[test]
fn a_run_is_the_same_each_time() {
    let inputs = || {
        let seen = RefCell::new(Vec::new());
        crate::run(&["[1]"], &["x"], |input| {
            seen.borrow_mut().push(input.to_vec());
            input.len() % 2 == 0
        });
        seen.into_inner()
    };
    if std::env::var_os("FUZZ_SECONDS").is_none() {
        assert_eq!(inputs(), inputs());
    }
}
