//! Our own words in the documents: what operations and parameters do. OpenAPI wants a sentence for each answer.

/// `action` is what `x-kubernetes-action` says.
pub(super) fn of_operation(action: &str, kind: &str) -> String {
    match action {
        "get" => format!("Reads one {kind}."),
        "list" => format!("Lists objects of kind {kind}, or watches them."),
        "watch" => format!("Watches one {kind}. Deprecated: list with `watch` and a field selector for the name instead."),
        "watchlist" => format!("Watches objects of kind {kind}. Deprecated: list with `watch` instead."),
        "post" => format!("Creates a {kind}."),
        "put" => format!("Replaces one {kind} whole."),
        "patch" => format!("Changes parts of one {kind}."),
        "delete" => format!("Deletes one {kind}."),
        "deletecollection" => format!("Deletes the objects of kind {kind} that the selectors choose."),
        "connect" => format!("Connects the client as {kind} tells; nothing is known here of what is then sent."),
        _ => format!("{kind}."),
    }
}

/// Standard reason phrases of HTTP.
pub(super) fn of_answer(code: &str) -> &'static str {
    match code {
        "200" => "OK",
        "201" => "Created",
        "202" => "Accepted",
        "401" => "Unauthorized",
        _ => "",
    }
}

pub(super) fn of_parameter(name: &str) -> &'static str {
    match name {
        "allowWatchBookmarks" => "Whether a watch may send BOOKMARK events, which tell a revision and no change.",
        "command" => "What to run, a parameter for each argument. No shell takes part.",
        "container" => "Which container of the pod; the only one when it has one.",
        "continue" => "Goes on with a list that was cut by `limit`: the token which the last part carried.",
        "dryRun" => "`All`: do everything but store the result.",
        "fieldManager" => "Who writes, as told in `managedFields`: up to 128 printable characters. Required for apply patches.",
        "fieldSelector" => "Chooses objects by fields, such as `metadata.name=a`.",
        "fieldValidation" => "What to do about unknown and repeated fields: `Ignore`, `Warn` (default) or `Strict`.",
        "follow" => "Whether to go on sending lines as they come.",
        "force" => "Whether an apply patch takes fields over that others own.",
        "gracePeriodSeconds" => "Seconds until the object goes; 0 at once. The kind's own when absent.",
        "ignoreStoreReadErrorWithClusterBreakingPotential" => {
            "Deletes an object that cannot be read from the store, without finalizers and without regard to what depends on it."
        }
        "insecureSkipTLSVerifyBackend" => "Whether the node's certificate goes unchecked.",
        "labelSelector" => "Chooses objects by labels, such as `app=web,tier!=cache`.",
        "limit" => "How many objects a list answers at most.",
        "limitBytes" => "How many bytes of the log are sent at most.",
        "name" => "The object's name.",
        "namespace" => "The object's namespace.",
        "orphanDependents" => "Deprecated: use `propagationPolicy`.",
        "path" => "The path behind the proxy.",
        "ports" => "The ports to forward.",
        "pretty" => "`true`: the answer is indented.",
        "previous" => "Whether the log is that of the container's last run.",
        "propagationPolicy" => "What becomes of dependents: `Orphan`, `Background` or `Foreground`.",
        "resourceVersion" => "The revision a list or watch begins with.",
        "resourceVersionMatch" => "How `resourceVersion` binds a list: `NotOlderThan` or `Exact`.",
        "sendInitialEvents" => "Whether a watch begins with what is there, and marks its end with a bookmark.",
        "shardSelector" => "Chooses a share of the objects by a hash of a field.",
        "sinceSeconds" => "Only lines that are no older than this.",
        "stderr" => "Whether to send the standard error stream.",
        "stdin" => "Whether to receive the standard input stream.",
        "stdout" => "Whether to send the standard output stream.",
        "stream" => "Which output of the container: `All`, `Stdout` or `Stderr`.",
        "tailLines" => "Only this many lines from the end.",
        "timeoutSeconds" => "How long a list or watch may take.",
        "timestamps" => "Whether a time stands before each line.",
        "tty" => "Whether a terminal is allotted.",
        "watch" => "Whether to send changes as they happen.",
        _ => "",
    }
}
