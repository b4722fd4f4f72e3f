//! Name rules of the API and their texts (`apimachinery/pkg/util/validation`), and generated names.

const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;
/// Upstream: `names.SimpleNameGenerator` cuts the base so that base + 5 random characters fit 63.
const GENERATED_BASE_LEN_MAX: usize = 58;
/// No vowels and nothing that looks like another letter, so that no words come about.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const ANY_CASE_TEXT: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'Example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub const DNS1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
pub const QUALIFIED_NAME_TEXT: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
pub const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Upstream has two texts for one rule: names speak of characters, labels and their keys of bytes.
#[derive(Clone, Copy)]
enum Counted {
    Characters,
    Bytes,
}

fn too_long(max: usize, counted: Counted) -> String {
    match counted {
        Counted::Characters => format!("must be no more than {max} characters"),
        Counted::Bytes => format!("must be no more than {max} bytes"),
    }
}

fn is_label_shape(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty() && edge(bytes[0]) && edge(bytes[bytes.len() - 1]) && bytes.iter().all(|c| edge(*c) || *c == b'-')
}

fn is_qualified_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// Faults of a DNS subdomain (most object names); empty when it is fine.
pub fn subdomain_faults(text: &str) -> Vec<String> {
    subdomain_faults_counted(text, Counted::Characters)
}

/// The same in the words of upstream's generated rules.
pub fn subdomain_faults_in_bytes(text: &str) -> Vec<String> {
    subdomain_faults_counted(text, Counted::Bytes)
}

/// The same where letters may be large or small.
pub fn subdomain_faults_of_any_case(text: &str) -> Vec<String> {
    let faults = subdomain_faults_in_bytes(&text.to_lowercase());
    let any_case = |fault: String| if fault == SUBDOMAIN_TEXT { ANY_CASE_TEXT.to_owned() } else { fault };
    faults.into_iter().map(any_case).collect()
}

fn subdomain_faults_counted(text: &str, counted: Counted) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > NAME_LEN_MAX {
        faults.push(too_long(NAME_LEN_MAX, counted));
    }
    if !is_subdomain_shape(text) {
        faults.push(SUBDOMAIN_TEXT.to_owned());
    }
    faults
}

fn is_subdomain_shape(text: &str) -> bool {
    text.split('.').all(is_label_shape)
}

/// Faults of a DNS label (namespaces, container names).
pub fn label_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        faults.push(too_long(LABEL_LEN_MAX, Counted::Characters));
    }
    if !is_label_shape(text) {
        faults.push(if is_subdomain_shape(text) { "must not contain dots".to_owned() } else { LABEL_TEXT.to_owned() });
    }
    faults
}

/// Faults of a DNS-1035 label (services).
pub fn dns1035_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        faults.push(too_long(LABEL_LEN_MAX, Counted::Characters));
    }
    if !is_label_shape(text) || !text.as_bytes()[0].is_ascii_lowercase() {
        faults.push(DNS1035_TEXT.to_owned());
    }
    faults
}

/// Faults of a path segment name (RBAC objects).
pub fn path_segment_faults(text: &str) -> Vec<String> {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => ["/", "%"].iter().filter(|bad| text.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect(),
    }
}

/// Faults of a label or annotation key: `[prefix/]name`.
pub fn qualified_name_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain_faults_counted(prefix, Counted::Bytes).into_iter().map(|f| format!("prefix part {f}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LEN_MAX {
        faults.push(format!("name part {}", too_long(LABEL_LEN_MAX, Counted::Bytes)));
    }
    if !is_qualified_shape(name) {
        faults.push(QUALIFIED_NAME_TEXT.to_owned());
    }
    faults
}

pub fn label_value_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        faults.push(too_long(LABEL_LEN_MAX, Counted::Bytes));
    }
    if !text.is_empty() && !is_qualified_shape(text) {
        faults.push(LABEL_VALUE_TEXT.to_owned());
    }
    faults
}

/// `generateName` plus five characters drawn from `random`.
pub fn generated(base: &str, random: u64) -> String {
    let mut name: String = base.chars().take(GENERATED_BASE_LEN_MAX).collect();
    name.push_str(&suffix(random, 5));
    name
}

/// Upstream: `rand.SafeEncodeString`, the alphabet of pod-template hashes too.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|c| char::from(SUFFIX_LETTERS[usize::from(c) % SUFFIX_LETTERS.len()])).collect()
}

fn suffix(random: u64, len: usize) -> String {
    let n = SUFFIX_LETTERS.len() as u64;
    (0..len)
        .scan(random, |rest, _| {
            let letter = *rest % n;
            *rest /= n;
            Some(char::from(SUFFIX_LETTERS[letter as usize]))
        })
        .collect()
}
