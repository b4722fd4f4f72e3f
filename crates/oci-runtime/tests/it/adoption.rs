pub(crate) const TESTS: &[crate::Test] = &[];
pub(crate) const ABANDON: &str = "abandon";
pub(crate) fn abandon(_args: &[String]) -> ! {
    panic!()
}
