//! The security context that counts for a container: its own over the pod's.

use k8s_openapi::api::core::v1::{Container, SeccompProfile, SecurityContext};

use crate::pod::BoundPod;

/// Upstream: `DetermineEffectiveSecurityContext`, with seccomp and AppArmor, which upstream merges apart.
pub fn effective(pod: &BoundPod, container: &Container) -> SecurityContext {
    let own = container.security_context.clone().unwrap_or_default();
    let Some(whole) = &pod.spec.security_context else { return own };
    SecurityContext {
        run_as_user: own.run_as_user.or(whole.run_as_user),
        run_as_group: own.run_as_group.or(whole.run_as_group),
        run_as_non_root: own.run_as_non_root.or(whole.run_as_non_root),
        seccomp_profile: own.seccomp_profile.or_else(|| whole.seccomp_profile.clone()),
        app_armor_profile: own.app_armor_profile.or_else(|| whole.app_armor_profile.clone()),
        se_linux_options: own.se_linux_options.or_else(|| whole.se_linux_options.clone()),
        ..own
    }
}

/// Privileged containers run without a filter whatever the pod says. Upstream's default is none.
pub fn seccomp(context: &SecurityContext) -> Option<&SeccompProfile> {
    if context.privileged == Some(true) { None } else { context.seccomp_profile.as_ref() }
}

/// Upstream: `AddNoNewPrivileges`.
pub fn no_new_privileges(context: &SecurityContext) -> bool {
    context.allow_privilege_escalation == Some(false)
}

/// Does the pod's wish not to run as root hold with the image's user? The text says why not.
pub fn check_non_root(pod: &BoundPod, container: &Container, image_user: &str) -> Result<(), String> {
    let context = effective(pod, container);
    if context.run_as_non_root != Some(true) {
        return Ok(());
    }
    let name = &container.name;
    let described = format!("(pod: {:?}, container: {name})", pod.described());
    if let Some(user) = context.run_as_user {
        return if user == 0 { Err(format!("container's runAsUser breaks non-root policy {described}")) } else { Ok(()) };
    }
    let user = image_user.split(':').next().unwrap_or_default();
    match (user, user.parse::<u32>()) {
        ("", _) | (_, Ok(0)) => Err(format!("container has runAsNonRoot and image will run as root {described}")),
        (_, Ok(_)) => Ok(()),
        (_, Err(_)) => {
            Err(format!("container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root {described}"))
        }
    }
}
