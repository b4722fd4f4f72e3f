//! Which controllers run, in the words of kube-controller-manager's `--controllers`: `*` means all, `a` also a, `-a` all but a.
//!
//! With it another program takes a controller's place, such as upstream's own on the same API.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    all: bool,
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Default for Selection {
    fn default() -> Self {
        Selection::parse("*")
    }
}

impl Selection {
    pub fn parse(text: &str) -> Self {
        let mut selection = Selection { all: false, wanted: Vec::new(), unwanted: Vec::new() };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.strip_prefix('-') {
                Some(name) => selection.unwanted.push(name.to_owned()),
                None if word == "*" => selection.all = true,
                None => selection.wanted.push(word.to_owned()),
            }
        }
        selection
    }

    pub fn takes(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|n| n == name);
        !is_in(&self.unwanted) && (self.all || is_in(&self.wanted))
    }

    /// The first name that is none of `known`.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.wanted.iter().chain(&self.unwanted).map(String::as_str).find(|name| !known.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn stars_and_dashes() {
        let check = |text: &str, name: &str, expected: bool| assert_eq!(Selection::parse(text).takes(name), expected, "{text}: {name}");
        check("*", "job", true);
        check("*,-job", "job", false);
        check("-job,*", "cronjob", true);
        check("job", "job", true);
        check("job", "cronjob", false);
        check("job,-job", "job", false);
        check("", "job", false);
        assert_eq!(Selection::parse("*,-jib").unknown(&["job"]), Some("jib"));
        assert_eq!(Selection::parse("*,-job").unknown(&["job"]), None);
    }
}
