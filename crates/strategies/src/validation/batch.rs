//! Jobs and CronJobs.

mod status;

use object::schedule::Schedule;
use object::selector::LabelSelector;
use object::{names, zone};
use serde_json::Value;

use super::apps::{matches, unmatched};
use crate::check::{At, Faults, IMMUTABLE};
use crate::equality::is_semantically_equal;
use crate::validation::pods;

const INDEXED_MAX: i64 = 100_000;
const MANY_COMPLETIONS: i64 = 100_000;
const MANY_PARALLEL_MAX: i64 = 10_000;
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const INDEXES_TEXT_MAX: usize = 64 << 10;
const MANAGED_BY_MAX: usize = 63;
/// Upstream: names of jobs get eleven more letters than those of cron jobs.
const CRON_NAME_MAX: usize = 52;

pub(crate) fn validate_job(job: &At<'_>, faults: &mut Faults) {
    let spec = job.get("spec");
    validate_generated_selector(job, faults);
    validate_job_spec(&spec, faults);
    validate_pod_names(job, faults);
}

fn is_indexed(spec: &At<'_>) -> bool {
    spec.get("completionMode") == "Indexed"
}

fn validate_generated_selector(job: &At<'_>, faults: &mut Faults) {
    let (spec, selector) = (job.get("spec"), job.get("spec").get("selector"));
    if spec.get("manualSelector").is_true() || !selector.is_set() {
        return;
    }
    let metadata = job.get("metadata");
    let (uid, name) = (metadata.get("uid"), metadata.get("name"));
    faults.need_text(&uid);
    let labels = spec.get("template").get("metadata").get("labels");
    let wanted = [
        ("controller-uid", uid.text()),
        ("job-name", name.text()),
        ("batch.kubernetes.io/controller-uid", uid.text()),
        ("batch.kubernetes.io/job-name", name.text()),
    ];
    for (key, value) in wanted {
        let at = labels.key(key);
        if !at.is_set() {
            faults.required(&at, format!("must be '{value}'"));
        } else if at.text() != value {
            faults.invalid_as(&at, labels.value.clone(), format!("must be '{value}'"));
        }
    }
    let map = wanted.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
    if LabelSelector::from_object(selector.value).is_ok_and(|parsed| !parsed.matches(Some(&map))) {
        faults.invalid_go(&selector, "LabelSelector", selector.value, "`selector` not auto-generated");
    }
}

/// The hostname of the last pod must be one.
fn validate_pod_names(job: &At<'_>, faults: &mut Faults) {
    let (spec, name) = (job.get("spec"), job.get("metadata").get("name"));
    let completions = spec.get("completions").int();
    if !is_indexed(&spec) || completions <= 0 {
        return;
    }
    let last = format!("{}-{}", name.text(), completions - 1);
    if !names::label_faults(&last).is_empty() {
        faults.invalid_text(&name, format!("will not able to create pod with invalid DNS label: {last}"));
    }
}

fn validate_job_spec(spec: &At<'_>, faults: &mut Faults) {
    validate_body(spec, faults);
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    if !selector.is_set() {
        faults.required(&selector, "");
    }
    faults.selector(&selector);
    if LabelSelector::from_object(selector.value).is_ok_and(|parsed| !matches(&parsed, &template)) {
        unmatched(&template, faults);
    }
}

/// What holds for a Job and for the template of one.
fn validate_body(spec: &At<'_>, faults: &mut Faults) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        faults.not_negative(&spec.get(field));
    }
    if spec.get("maxFailedIndexes").is_set() && !spec.get("backoffLimitPerIndex").is_set() {
        faults.required(&spec.get("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    validate_manager(&spec.get("managedBy"), faults);
    faults.one_of(&spec.get("completionMode"), &["NonIndexed", "Indexed"]);
    if is_indexed(spec) {
        validate_indexed(spec, faults);
    } else if !spec.get("completionMode").is_set() || spec.get("completionMode") == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if spec.get(field).is_set() {
                faults.invalid(&spec.get(field), "requires indexed completion mode");
            }
        }
    }
    validate_failure_policy(spec, faults);
    validate_success_policy(spec, faults);
    let replacement = spec.get("podReplacementPolicy");
    let has_policy = spec.get("podFailurePolicy").is_set();
    faults.one_of(&replacement, if has_policy { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] });
    pods::validate_template(&spec.get("template"), faults);
    validate_restarts(&spec.get("template").get("spec").get("restartPolicy"), has_policy, faults);
}

fn validate_restarts(policy: &At<'_>, has_failure_policy: bool, faults: &mut Faults) {
    match policy.text() {
        "Always" | "" => faults.required(policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if has_failure_policy => {
            faults.invalid_text(policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => faults.not_supported(policy, &["OnFailure", "Never"]),
    }
}

/// `domain/path`.
fn validate_manager(at: &At<'_>, faults: &mut Faults) {
    const PATH: &str = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
    if !at.is_set() {
        return;
    }
    if faults.need_text(at) {
        match at.text().split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty()) {
            None => faults.invalid_text(at, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
            Some((domain, path)) => {
                faults.each_as(at, domain, names::subdomain_faults(domain));
                if !path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c)) {
                    faults.invalid_as(at, path, PATH);
                }
            }
        }
    }
    if at.text().len() > MANAGED_BY_MAX {
        faults.too_long(at, MANAGED_BY_MAX);
    }
}

fn validate_indexed(spec: &At<'_>, faults: &mut Faults) {
    let (completions, parallel, failed) = (spec.get("completions"), spec.get("parallelism"), spec.get("maxFailedIndexes"));
    if !completions.is_set() {
        faults.required(&completions, "when completion mode is Indexed");
    }
    if parallel.int() > INDEXED_MAX {
        faults.invalid_int(&parallel, format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed"));
    }
    if completions.is_set() && failed.is_set() && failed.int() > completions.int() {
        faults.invalid_int(&failed, "must be less than or equal to completions");
    }
    if failed.int() > INDEXED_MAX {
        faults.invalid_int(&failed, format!("must be less than or equal to {INDEXED_MAX}"));
    }
    if completions.int() <= MANY_COMPLETIONS || !spec.get("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        faults.required(&failed, format!("must be specified when completions is above {MANY_COMPLETIONS}"));
    }
    for at in [&parallel, &failed].into_iter().filter(|at| at.int() > MANY_PARALLEL_MAX) {
        let text = format!(
            "must be less than or equal to {MANY_PARALLEL_MAX} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        );
        faults.invalid_int(at, text);
    }
}

/// Upstream lists what is possible where something is missing.
fn need_listed(at: &At<'_>, listed: &[&str], faults: &mut Faults) {
    if at.has_text() {
        faults.one_of(at, listed);
    } else {
        let quoted: Vec<String> = listed.iter().map(|text| format!("{text:?}")).collect();
        faults.required(at, format!("valid values: [{}]", quoted.join(" ")));
    }
}

fn validate_failure_policy(spec: &At<'_>, faults: &mut Faults) {
    let rules = spec.get("podFailurePolicy").get("rules");
    if rules.len() > RULES_MAX {
        faults.too_many(&rules, RULES_MAX);
    }
    for rule in rules.items() {
        let (action, codes, conditions) = (rule.get("action"), rule.get("onExitCodes"), rule.get("onPodConditions"));
        if action != "FailIndex" {
            need_listed(&action, &["Count", "FailIndex", "FailJob", "Ignore"], faults);
        } else if !spec.get("backoffLimitPerIndex").is_set() {
            faults.invalid_text(&action, "requires the backoffLimitPerIndex to be set");
        }
        if codes.is_set() {
            validate_exit_codes(&codes, spec, faults);
        }
        if conditions.len() > RULES_MAX {
            faults.too_many(&conditions, RULES_MAX);
        }
        for condition in conditions.items() {
            faults.qualified_name(&condition.get("type"));
            need_listed(&condition.get("status"), &["False", "True", "Unknown"], faults);
        }
        match (codes.is_set(), conditions.is_empty()) {
            (true, false) => faults.invalid_omitted(&rule, "specifying both OnExitCodes and OnPodConditions is not supported"),
            (false, true) => faults.invalid_omitted(&rule, "specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
    }
}

fn validate_exit_codes(codes: &At<'_>, spec: &At<'_>, faults: &mut Faults) {
    let (operator, name, values) = (codes.get("operator"), codes.get("containerName"), codes.get("values"));
    need_listed(&operator, &["In", "NotIn"], faults);
    let pod = spec.get("template").get("spec");
    let is_known = || ["containers", "initContainers"].iter().any(|list| pod.get(list).list().iter().any(|c| c["name"] == *name.value));
    if name.is_set() && !is_known() {
        faults.invalid_text(&name, "must be one of the container or initContainer names in the pod template");
    }
    if values.is_empty() {
        faults.invalid(&values, "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        faults.too_many(&values, EXIT_CODES_MAX);
    }
    let mut seen = Vec::new();
    for value in values.items() {
        if operator == "In" && value.int() == 0 {
            faults.invalid_int(&value, "must not be 0 for the In operator");
        }
        if seen.contains(&value.int()) {
            faults.duplicate(&value);
        }
        seen.push(value.int());
    }
    if !seen.is_sorted() {
        faults.invalid(&values, "must be ordered");
    }
}

fn validate_success_policy(spec: &At<'_>, faults: &mut Faults) {
    let policy = spec.get("successPolicy");
    if !policy.is_set() {
        return;
    }
    if !is_indexed(spec) {
        faults.invalid_go(&policy, "batch.SuccessPolicy", policy.value, "requires indexed completion mode");
        return;
    }
    let (rules, completions) = (policy.get("rules"), spec.get("completions").int());
    if rules.is_empty() {
        faults.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        faults.too_many(&rules, RULES_MAX);
    }
    for rule in rules.items() {
        validate_success_rule(&rule, completions, faults);
    }
}

fn validate_success_rule(rule: &At<'_>, completions: i64, faults: &mut Faults) {
    let (count, indexes) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
    if !count.is_set() && !indexes.is_set() {
        faults.required(rule, "at least one of succeededCount or succeededIndexes must be specified");
    }
    if indexes.text().len() > INDEXES_TEXT_MAX {
        faults.too_long(&indexes, INDEXES_TEXT_MAX);
    }
    let total = count_indexes(indexes.text(), completions).unwrap_or_else(|fault| {
        faults.invalid_text(&indexes, format!("error parsing succeededIndexes: {fault}"));
        0
    });
    if !count.is_set() {
        return;
    }
    faults.not_negative(&count);
    if count.int() > completions {
        faults.invalid_int(&count, format!("must be less than or equal to {completions} (the number of specified completions)"));
    }
    if indexes.is_set() && count.int() > total {
        let text = format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)");
        faults.invalid_int(&count, text);
    }
}

/// One interval `3` or `3-5`.
fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let number = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
        Ok(n) if n >= completions => Err(format!("too large index: {text:?}")),
        Ok(n) => Ok(n),
    };
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [one] => number(one).map(|n| (n, n)),
        [low, high] => {
            let (low, high) = (number(low)?, number(high)?);
            if low >= high { Err(format!("non-increasing order, previous: {low}, current: {high}")) } else { Ok((low, high)) }
        }
        _ => Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

/// How many indexes `1,3-5` names.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (low, high) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= low) {
            return Err(format!("non-increasing order, previous: {last}, current: {low}"));
        }
        total += high - low + 1;
        last = Some(high);
    }
    Ok(total)
}

pub(crate) fn validate_job_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        status::validate(old, new, faults);
        return;
    }
    let (before, after) = (old.get("spec"), new.get("spec"));
    validate_job_spec(&after, faults);
    validate_completions(&before, &after, faults);
    faults.immutable_go(&before.get("selector"), &after.get("selector"), "LabelSelector");
    validate_template_update(old, &before, &after, faults);
    faults.immutable(&before.get("completionMode"), &after.get("completionMode"));
    faults.immutable_go(&before.get("podFailurePolicy"), &after.get("podFailurePolicy"), "batch.PodFailurePolicy");
    for field in ["backoffLimitPerIndex", "managedBy"] {
        faults.immutable(&before.get(field), &after.get(field));
    }
    faults.immutable_go(&before.get("successPolicy"), &after.get("successPolicy"), "batch.SuccessPolicy");
    validate_pod_names(new, faults);
}

fn validate_completions(before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    let (was, is) = (before.get("completions"), after.get("completions"));
    if !is_indexed(after) {
        faults.immutable(&was, &is);
    } else if is.is_set() && was.value != is.value && is.int() != after.get("parallelism").int() {
        // Upstream asks the path for its root and adds to it.
        faults.invalid_int(&is, "can only be modified in tandem with spec.parallelism");
    }
}

/// A job that was never started may still be sent elsewhere and be given other amounts.
fn validate_template_update(old: &At<'_>, before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    let is_suspended = before.get("suspend").is_true();
    let conditions = old.get("status").get("conditions");
    let was_suspended = conditions.list().iter().any(|c| c["type"] == "Suspended" && c["status"] == "True");
    let is_idle =
        is_suspended && (!old.get("status").get("startTime").is_set() || was_suspended) && old.get("status").get("active").int() == 0;
    let template = after.get("template");
    let mut allowed = before.value["template"].clone();
    let take = crate::reset::take;
    if is_idle {
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            take(&mut allowed["spec"], field, &template.value["spec"]);
        }
        if allowed["spec"]["affinity"].is_null() {
            allowed["spec"]["affinity"] = serde_json::json!({});
        }
        take(&mut allowed["spec"]["affinity"], "nodeAffinity", &template.value["spec"]["affinity"]);
        if template.value["spec"]["affinity"].is_null() && allowed["spec"]["affinity"] == serde_json::json!({}) {
            crate::reset::unset(&mut allowed["spec"], "affinity");
        }
        for field in ["annotations", "labels"] {
            take(&mut allowed["metadata"], field, &template.value["metadata"]);
        }
        for list in ["containers", "initContainers"] {
            let same = template.value["spec"][list].as_array().map(Vec::len) == allowed["spec"][list].as_array().map(Vec::len);
            for (i, container) in allowed["spec"][list].as_array_mut().into_iter().flatten().enumerate().filter(|_| same) {
                let sent = &template.value["spec"][list][i];
                if container["name"] == sent["name"] {
                    take(container, "resources", sent);
                }
            }
        }
        if !is_semantically_equal(&allowed["spec"], &template.value["spec"]) {
            let at = after.get("template.spec");
            faults.invalid_go(&at, "PodSpec", &template.value["spec"], IMMUTABLE);
        }
        return;
    }
    if !is_semantically_equal(&allowed, template.value) {
        faults.invalid_go(&template, "PodTemplateSpec", template.value, IMMUTABLE);
    }
}

pub(crate) fn validate_cron_job(job: &At<'_>, faults: &mut Faults) {
    validate_cron_spec(&job.get("spec"), None, faults);
    let name = job.get("metadata").get("name");
    if name.text().len() > CRON_NAME_MAX {
        faults.invalid_text(&name, format!("must be no more than {CRON_NAME_MAX} characters"));
    }
}

pub(crate) fn validate_cron_job_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource.is_empty() {
        validate_cron_spec(&new.get("spec"), Some(&old.get("spec")), faults);
    }
}

fn validate_cron_spec(spec: &At<'_>, old: Option<&At<'_>>, faults: &mut Faults) {
    let (schedule, zone) = (spec.get("schedule"), spec.get("timeZone"));
    if schedule.has_text() {
        let had_zone = old.is_some_and(|old| old.get("schedule").text().contains("TZ"));
        if let Err(fault) = Schedule::parse(schedule.text()) {
            faults.invalid_text(&schedule, fault);
        }
        if schedule.text().contains("TZ") && !had_zone {
            faults.invalid_text(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        } else if schedule.text().contains("TZ") && zone.is_set() {
            faults.invalid_text(&schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    } else {
        _ = faults.need_text_later(&schedule);
    }
    faults.not_negative(&spec.get("startingDeadlineSeconds"));
    if old.is_none_or(|old| &old.value["timeZone"] != zone.value) {
        validate_zone(&zone, faults);
    }
    faults.need_one_of(&spec.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let job = spec.get("jobTemplate").get("spec");
    validate_body(&job, faults);
    let (selector, manual) = (job.get("selector"), job.get("manualSelector"));
    if selector.is_set() {
        faults.invalid_go(&selector, "LabelSelector", selector.value, "`selector` will be auto-generated");
    }
    if manual.is_true() {
        faults.0.push(object::field::Error::not_supported(&manual.path(), true, &["nil", "false"]));
    }
    faults.not_negative(&spec.get("successfulJobsHistoryLimit"));
    faults.not_negative(&spec.get("failedJobsHistoryLimit"));
}

fn validate_zone(at: &At<'_>, faults: &mut Faults) {
    const PART_MAX: usize = 14;
    if !at.is_set() {
        return;
    }
    let text = at.text();
    if text.is_empty() {
        faults.invalid_text(at, "timeZone must be nil or non-empty string");
        return;
    }
    let is_part = |part: &str| {
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=PART_MAX).contains(&part.len())
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_+".contains(&c))
    };
    if text.split('/').any(|part| !is_part(part)) {
        faults.invalid_text(at, format!("unknown time zone {text}"));
        return;
    }
    // Go takes that for the zone of the server.
    if text == "Local" {
        faults.invalid_text(at, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
        return;
    }
    if let Err(fault) = zone::named(text) {
        faults.invalid_text(at, fault);
    }
    if text.eq_ignore_ascii_case("local") {
        faults.invalid_text(at, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
}
