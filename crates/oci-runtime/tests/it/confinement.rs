//! What a container may see and do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_runtime::runtime::{Error, Runtime};
use oci_runtime::spec::{
    ContainerConfig, Device, Mount, MountAccess, MountSource, NamespaceMode, PidMode, ProcMount, Propagation, Resources, Rlimit, Rootfs,
    Seccomp,
};

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[
    ("confinement::capabilities_are_those_asked_for", capabilities_are_those_asked_for),
    ("confinement::seccomp_stops_calls", seccomp_stops_calls),
    ("confinement::users_and_groups_are_the_images", users_and_groups_are_the_images),
    ("confinement::the_root_can_be_read_only", the_root_can_be_read_only),
    ("confinement::the_kernels_files_are_guarded", the_kernels_files_are_guarded),
    ("confinement::devices_are_few", devices_are_few),
    ("confinement::limits_are_applied_and_changed", limits_are_applied_and_changed),
    ("confinement::volumes_are_mounted_as_asked", volumes_are_mounted_as_asked),
    ("confinement::images_are_mounted_for_reading", images_are_mounted_for_reading),
    ("confinement::links_do_not_lead_out", links_do_not_lead_out),
    ("confinement::mounts_spread_as_asked", mounts_spread_as_asked),
    ("confinement::nothing_of_the_host_is_inherited", nothing_of_the_host_is_inherited),
    ("confinement::privileged_means_all", privileged_means_all),
    ("confinement::host_namespaces_are_shared_when_asked", host_namespaces_are_shared_when_asked),
    ("confinement::many_layers_make_one_root", many_layers_make_one_root),
];

/// The script's output in a container changed by `change`.
fn output(node: &Node, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> String {
    let sandbox = node.runtime.list_pod_sandboxes().first().map(|status| status.id.clone()).unwrap_or_else(|| node.sandbox("conf"));
    let mut config = node.container_config(&format!("exec 2>&1; {script}"));
    change(&mut config);
    node.run(&sandbox, config).1
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| name.to_string()).collect()
}

fn capabilities_are_those_asked_for() {
    let node = Node::new();
    let script = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f2";
    let sets = |change: &dyn Fn(&mut ContainerConfig)| output(&node, script, change).replace('\n', " ");
    let expected = |bits: &str| format!("0000000000000000 {bits} {bits} {bits} 0000000000000000");
    assert_eq!(sets(&|_| ()), expected("00000000a80425fb"));
    assert_eq!(sets(&|config| config.security.capabilities_drop = names(&["ALL"])), expected("0000000000000000"));
    assert_eq!(sets(&|config| config.security.capabilities_add = names(&["NET_ADMIN"])), expected("00000000a80435fb"));
    // Users other than root have none in hand, whatever the bounding set.
    let plain = output(&node, "grep -E 'Cap(Eff|Bnd)' /proc/self/status", |config| config.user.user = "1000".into());
    assert_eq!(plain, "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb");
    let nnp = output(&node, "grep NoNewPrivs /proc/self/status", |config| config.security.no_new_privileges = true);
    assert_eq!(nnp, "NoNewPrivs:\t1");
}

fn seccomp_stops_calls() {
    let node = Node::new();
    let script = "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted; mkdir /tmp/d && echo made";
    let run = |profile: Seccomp, nnp: bool, user: &str| {
        output(&node, script, |config| {
            config.security.seccomp = profile;
            config.security.no_new_privileges = nnp;
            config.security.capabilities_add = names(&["SYS_ADMIN"]);
            config.user.user = user.into();
        })
    };
    assert!(run(Seccomp::Unconfined, false, "").contains("Seccomp:\t0\nmounted"));
    assert!(run(Seccomp::RuntimeDefault, false, "").contains("Seccomp:\t2\nmounted"), "allowed by the capability");
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    for (nnp, user) in [(false, ""), (true, ""), (false, "1000"), (true, "1000")] {
        let text = run(Seccomp::Localhost(json.into()), nnp, user);
        assert!(text.contains("Seccomp:\t2") && text.contains("No space left"), "{nnp} {user}: {text}");
    }
    let plain = output(&node, "unshare -U true 2>&1; mount -t tmpfs x /tmp", |config| config.security.seccomp = Seccomp::RuntimeDefault);
    assert!(plain.contains("permission denied") || plain.contains("not permitted"), "{plain}");
    let sandbox = node.runtime.list_pod_sandboxes()[0].id.clone();
    let mut config = node.container_config("true");
    config.security.seccomp = Seccomp::Localhost("{".into());
    assert!(matches!(node.wait(node.runtime.create_container(&sandbox, config)), Err(Error::Invalid(_))));
}

fn users_and_groups_are_the_images() {
    let node = Node::new();
    let id = |user: &str, gid: Option<u32>, more: &[u32]| {
        output(&node, "id; echo $HOME; : > /dev/stdout && echo writable", |config| {
            config.user.user = user.into();
            config.user.gid = gid;
            config.user.supplemental_groups = more.to_vec();
        })
    };
    assert_eq!(id("", None, &[]), "uid=0(root) gid=0(root) groups=0(root)\n/root\nwritable");
    assert_eq!(id("app", None, &[3000]), "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra),3000\n/home/app\nwritable");
    assert_eq!(id("4000:5000", None, &[]), "uid=4000 gid=5000 groups=5000\n/\nwritable");
    assert_eq!(id("1000", Some(7), &[]), "uid=1000(app) gid=7 groups=7,2000(extra)\n/home/app\nwritable");
}

fn the_root_can_be_read_only() {
    let node = Node::new();
    let script = "touch /file && echo wrote; touch /tmp/file && echo wrote tmp; touch /dev/shm/file && echo wrote shm; cat /etc/layer";
    assert_eq!(output(&node, script, |_| ()), "wrote\nwrote tmp\nwrote shm\ntop");
    let text = output(&node, script, |config| {
        config.read_only_rootfs = true;
        config.mounts.push(mount("/tmp", MountSource::Tmpfs { size_bytes: Some(1 << 20), mode: 0o1777 }));
    });
    assert!(text.contains("Read-only file system") && !text.contains("wrote\n") && text.contains("wrote tmp\nwrote shm\ntop"), "{text}");
}

fn the_kernels_files_are_guarded() {
    let node = Node::new();
    let script = "cat /proc/kcore 2>/dev/null | wc -c; cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo x > /proc/sysrq-trigger; echo 1 > /proc/sys/kernel/panic; mkdir /sys/x; \
                  for f in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do [ -e $f ] && echo 1 > $f; done; \
                  mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x";
    let text = output(&node, script, |_| ());
    assert!(text.starts_with("0\n0\n0\n"), "{text}");
    let refusals = text.lines().skip(3).collect::<Vec<_>>();
    assert!(
        refusals.len() >= 5
            && refusals.iter().all(|line| line.contains("Read-only") || line.contains("can't create") || line.contains("No such file")),
        "{text}"
    );
    let open = output(&node, "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic && echo wrote", |config| {
        config.security.proc_mount = ProcMount::Unmasked;
    });
    assert_eq!(open, "wrote");
}

fn devices_are_few() {
    let node = Node::new();
    assert_eq!(
        output(&node, "ls /dev", |_| ()).replace('\n', " "),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    let script =
        "mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null bs=1 count=1; echo x > /dev/null && echo null; head -c 4 /dev/urandom | wc -c";
    let text = output(&node, script, |_| ());
    assert!(text.contains("Operation not permitted") && text.contains("null\n4"), "{text}");
    let text = output(&node, "head -c 1 /dev/given | wc -c; ls -l /dev/given | cut -c1; head -c 0 /tmp/other", |config| {
        let (host_path, container_path) = (PathBuf::from("/dev/zero"), PathBuf::from("/dev/given"));
        config.devices.push(Device { host_path, container_path, permissions: "r".into() });
    });
    assert!(text.starts_with("1\nc"), "{text}");
}

fn limits_are_applied_and_changed() {
    let node = Node::new();
    let sandbox = node.sandbox("limits");
    let mut config = node.container_config("exec sleep 1000");
    config.resources = Resources {
        cpu_shares: Some(512),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        memory_limit_bytes: Some(64 << 20),
        pids_limit: Some(20),
        cpuset_cpus: "0".into(),
        ..Resources::default()
    };
    config.rlimits = vec![Rlimit { name: "RLIMIT_NOFILE".into(), soft: 100, hard: u64::MAX }];
    config.oom_score_adj = -999;
    let id = node.start(&sandbox, config);
    // Version 1 has a tree a controller, version 2 one for all.
    let is_v1 = Path::new("/sys/fs/cgroup/memory").exists();
    let read = |v1: &[&str], v2: &[&str]| {
        let below = format!("{}/pods/limits/{}", node.cgroup, id.0);
        let value = |name: &&str| {
            let (controller, file) = name.split_once('/').unwrap_or(("", name));
            let one = Path::new("/sys/fs/cgroup").join(controller).join(&below[1..]).join(file);
            fs::read_to_string(&one).unwrap_or_else(|error| panic!("{}: {error}", one.display())).trim().to_string()
        };
        if is_v1 { v1 } else { v2 }.iter().map(value).collect::<Vec<_>>().join(", ")
    };
    let (v1, v2) = (["cpu/cpu.shares", "cpu/cpu.cfs_quota_us", "memory/memory.limit_in_bytes"], ["cpu.weight", "cpu.max", "memory.max"]);
    assert_eq!(read(&v1, &v2), if is_v1 { "512, 50000, 67108864" } else { "59, 50000 100000, 67108864" });
    assert_eq!(read(&["pids/pids.max", "cpuset/cpuset.cpus"], &["pids.max", "cpuset.cpus"]), "20, 0");
    assert_eq!(node.ask(&id, "nproc; ulimit -n"), "1\n100");
    assert_eq!(node.ask(&id, "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; true"), "", "too many processes end the shell");
    let more = Resources { memory_limit_bytes: Some(128 << 20), cpu_quota_us: Some(-1), ..Resources::default() };
    node.wait(node.runtime.update_container_resources(&id, more)).expect("changed");
    assert_eq!(read(&v1, &v2), if is_v1 { "512, -1, 134217728" } else { "59, max 100000, 134217728" });
    let stats = node.runtime.container_stats(&id).expect("stats");
    assert!(stats.memory_usage_bytes > 0 && stats.cpu_usage_ns > 0 && stats.pids > 1, "{stats:?}");
    assert!(node.runtime.sandbox_stats(&sandbox).expect("stats").cpu_usage_ns >= stats.cpu_usage_ns);
}

fn mount(destination: &str, source: MountSource) -> Mount {
    Mount { destination: destination.into(), source, access: MountAccess::ReadWrite, propagation: Propagation::Private }
}

fn volumes_are_mounted_as_asked() {
    let node = Node::new();
    let volume = node.directory.join("volume");
    fs::create_dir_all(volume.join("sub")).expect("made");
    fs::write(volume.join("file"), "content\n").expect("written");
    let bind = |access| {
        let mut one = mount("/data", MountSource::Bind(volume.clone()));
        one.access = access;
        one
    };
    let write = "cat /data/file; echo new > /data/written && echo wrote";
    assert_eq!(output(&node, write, |config| config.mounts.push(bind(MountAccess::ReadWrite))), "content\nwrote");
    assert_eq!(fs::read_to_string(volume.join("written")).expect("written"), "new\n");
    for access in [MountAccess::ReadOnly, MountAccess::RecursiveReadOnly] {
        assert!(output(&node, write, |config| config.mounts.push(bind(access))).contains("Read-only file system"));
    }
    let text = output(&node, "cat /etc/hosts /deep/er/file; ls /data/; echo x > /data/sub/new; ls -ld /made | cut -c1", |config| {
        config.mounts.push(mount("/data/sub", MountSource::Tmpfs { size_bytes: None, mode: 0o755 }));
        config.mounts.push(mount("/etc/hosts", MountSource::Bind(volume.join("file"))));
        config.mounts.push(mount("/deep/er/file", MountSource::Bind(volume.join("file"))));
        config.mounts.push(mount("/made", MountSource::Bind(node.directory.join("not/yet"))));
        config.mounts.push(bind(MountAccess::ReadWrite));
    });
    assert_eq!(text, "content\ncontent\nfile\nsub\nwritten\nd");
    assert!(!volume.join("sub/new").exists(), "the deeper mount is on top, in whatever order they come");
    let sub = |sub_path: &str| mount("/part", MountSource::SubPath { volume: volume.clone(), sub_path: sub_path.into() });
    assert_eq!(output(&node, "cat /part", |config| config.mounts.push(sub("file"))), "content");
    assert_eq!(output(&node, "touch /part/x && echo ok", |config| config.mounts.push(sub("new/er"))), "ok");
    assert!(volume.join("new/er/x").exists());
    assert_eq!(fs::metadata(volume.join("new")).expect("made").mode() & 0o777, 0o750);
}

fn images_are_mounted_for_reading() {
    let node = Node::new();
    let (base, top) = (node.directory.join("image/base"), node.directory.join("image/top"));
    let image = |layers: &[&PathBuf], sub_path: &str| {
        mount("/data", MountSource::Image { layers: layers.iter().map(|l| l.to_path_buf()).collect(), sub_path: sub_path.into() })
    };
    let script = "cat /data/etc/layer; touch /data/x; /data/bin/busybox true";
    let told = |layer: &str| format!("{layer}\ntouch: /data/x: Read-only file system\n/bin/sh: /data/bin/busybox: Permission denied");
    assert_eq!(output(&node, script, |config| config.mounts.push(image(&[&base], ""))), told("base"));
    assert_eq!(output(&node, script, |config| config.mounts.push(image(&[&base, &top], ""))), told("top"));
    assert_eq!(output(&node, "cat /data/layer", |config| config.mounts.push(image(&[&base, &top], "etc"))), "top");
    assert_eq!(output(&node, "cat /data", |config| config.mounts.push(image(&[&base], "etc/layer"))), "base");
    assert!(!base.join("x").exists() && !top.join("x").exists());
}

fn links_do_not_lead_out() {
    let node = Node::new();
    let sandbox = node.sandbox("links");
    let (volume, secret) = (node.directory.join("volume"), node.directory.join("secret"));
    fs::create_dir_all(&volume).expect("made");
    fs::create_dir_all(&secret).expect("made");
    for (name, target) in [("absolute", secret.clone()), ("relative", "../secret".into()), ("proc", "/proc/1/root".into())] {
        std::os::unix::fs::symlink(target, volume.join(name)).expect("a link");
        for sub_path in [name.to_string(), format!("{name}/deeper")] {
            let mut config = node.container_config("true");
            config.mounts.push(mount("/part", MountSource::SubPath { volume: volume.clone(), sub_path: sub_path.clone().into() }));
            let id = node.create(&sandbox, config);
            let error = node.wait(node.runtime.start_container(&id)).expect_err("refused");
            assert!(error.to_string().contains("leads out of its volume"), "{sub_path}: {error}");
        }
    }
    // An image whose mount points are links to the host's directories.
    let layer = node.directory.join("hostile");
    fs::create_dir_all(&layer).expect("made");
    std::os::unix::fs::symlink(&secret, layer.join("data")).expect("a link");
    std::os::unix::fs::symlink("../../../../../../..", layer.join("up")).expect("a link");
    let mut config = node.container_config("touch /data/inside /up/inside && echo ok");
    let Rootfs::Overlay { layers } = &mut config.rootfs else { unreachable!("the default") };
    layers.push(layer);
    config.mounts.push(mount("/data", MountSource::Tmpfs { size_bytes: None, mode: 0o755 }));
    config.mounts.push(mount(&format!("/up{}/new", secret.display()), MountSource::Bind(volume)));
    assert_eq!(node.run(&sandbox, config).1, "ok");
    assert_eq!(fs::read_dir(&secret).expect("readable").count(), 0);
    for bad in ["/proc/sys", "/", "relative", "/a/../b"] {
        let mut config = node.container_config("true");
        config.mounts.push(mount(bad, MountSource::Tmpfs { size_bytes: None, mode: 0o755 }));
        assert!(matches!(node.wait(node.runtime.create_container(&sandbox, config)), Err(Error::Invalid(_))), "{bad}");
    }
}

/// A shared mount of the test's own, in the machine's mount namespace but below its own directory.
struct SharedMount(PathBuf);

impl SharedMount {
    fn new(path: PathBuf) -> SharedMount {
        fs::create_dir_all(&path).expect("made");
        rustix::mount::mount("test", &path, "tmpfs", rustix::mount::MountFlags::empty(), None).expect("mounted");
        rustix::mount::mount_change(&path, rustix::mount::MountPropagationFlags::SHARED).expect("shared");
        SharedMount(path)
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn mounts_spread_as_asked() {
    let node = Node::new();
    let sandbox = node.sandbox("spread");
    let shared = SharedMount::new(node.directory.join("shared"));
    let start = |propagation| {
        let mut config = node.container_config("exec sleep 1000");
        config.security.privileged = true;
        let source = MountSource::Bind(shared.0.clone());
        config.mounts.push(Mount { destination: "/data".into(), source, access: MountAccess::ReadWrite, propagation });
        node.start(&sandbox, config)
    };
    let (private, receiving, both) = (start(Propagation::Private), start(Propagation::HostToContainer), start(Propagation::Bidirectional));
    fs::create_dir(shared.0.join("late")).expect("made");
    let late = SharedMount::new(shared.0.join("late"));
    fs::write(late.0.join("word"), "x").expect("written");
    let sees = |id| node.ask(id, "ls /data/late | wc -l");
    assert_eq!((sees(&private), sees(&receiving), sees(&both)), ("0".to_string(), "1".to_string(), "1".to_string()));
    node.ask(&both, "mkdir /data/inner && mount -t tmpfs x /data/inner && touch /data/inner/made");
    assert!(shared.0.join("inner/made").exists());
    node.ask(&receiving, "mkdir /data/own && mount -t tmpfs x /data/own && touch /data/own/made");
    assert!(!shared.0.join("own/made").exists());
    rustix::mount::unmount(shared.0.join("inner"), rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    let mut config = node.container_config("true");
    fs::create_dir_all(node.directory.join("plain")).expect("made");
    let source = MountSource::Bind(node.directory.join("plain"));
    let plain_is_shared = fs::read_to_string("/proc/self/mountinfo")
        .expect("readable")
        .lines()
        .any(|line| line.contains(" / / ") && line.contains("shared:"));
    config.mounts.push(Mount {
        destination: "/data".into(),
        source,
        access: MountAccess::ReadWrite,
        propagation: Propagation::Bidirectional,
    });
    let id = node.create(&sandbox, config);
    match node.wait(node.runtime.start_container(&id)) {
        Err(error) => assert!(error.to_string().contains("but it is not a shared mount"), "{error}"),
        Ok(()) => assert!(plain_is_shared),
    }
}

fn nothing_of_the_host_is_inherited() {
    let node = Node::new();
    let sandbox = node.sandbox("clean");
    let id = node.start(&sandbox, node.container_config("exec sleep 1000"));
    assert_eq!(node.ask(&id, "ls /proc/1/fd | tr '\\n' ' '"), "0 1 2");
    assert_eq!(node.ask(&id, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3", "the fourth is the directory it reads");
    let mut config = node.container_config("");
    config.args = names(&["/bin/env"]);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(node.run(&sandbox, config).1, format!("PATH={path}\nHOSTNAME=pod-clean\nHOME=/root"));
    let mounts = node.ask(&id, "cat /proc/mounts");
    let kinds = ["overlay", "proc", "tmpfs", "devpts", "mqueue", "sysfs", "cgroup", "cgroup2"];
    let is_own = |line: &str| line.contains(" /etc/hostname ") || line.split(' ').nth(2).is_some_and(|kind| kinds.contains(&kind));
    assert!(mounts.lines().all(is_own), "{mounts}");
    assert_eq!(node.ask(&id, "grep -E 'Sig(Blk|Ign)' /proc/1/status | cut -f2 | tr '\\n' ' '"), "0000000000000000 0000000000000000");
    assert_eq!(node.ask(&id, "cut -d' ' -f1,4,5,6 /proc/1/stat"), "1 0 1 1", "no parent, own group and session");
}

fn privileged_means_all() {
    let node = Node::new();
    let text = output(
        &node,
        "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted; ls /dev | wc -l; mkdir /sys/fs/cgroup/x 2>&1",
        |config| {
            config.security.privileged = true;
            config.security.seccomp = Seccomp::RuntimeDefault;
        },
    );
    let own = fs::read_to_string("/proc/self/status").expect("readable");
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("there");
    assert!(text.contains(&format!("CapEff:\t{bounding}")) && text.contains("Seccomp:\t0") && text.contains("mounted"), "{text}");
    let n_devices: usize = text.lines().find_map(|line| line.parse().ok()).expect("a count");
    assert!(n_devices > 14, "{text}");
}

fn host_namespaces_are_shared_when_asked() {
    let node = Node::new();
    let mut config = node.sandbox_config("host");
    config.namespaces.network = NamespaceMode::Host;
    config.namespaces.ipc = NamespaceMode::Host;
    config.namespaces.pid = PidMode::Host;
    let sandbox = node.wait(node.runtime.run_pod_sandbox(config)).expect("a sandbox");
    let id = node.start(&sandbox, node.container_config("sleep 1234 & exec sleep 1000"));
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace").display().to_string();
    for name in ["net", "ipc", "uts", "pid"] {
        assert!(node.ask(&id, &format!("ls -l /proc/self/ns/{name}")).ends_with(&own(name)), "{name}");
    }
    assert!(!node.ask(&id, "ls -l /proc/self/ns/mnt").ends_with(&own("mnt")));
    assert_eq!(node.ask(&id, "hostname"), rustix::system::uname().nodename().to_string_lossy());
    // Without a process namespace of its own nothing but the runtime ends what the first process left.
    node.wait(node.runtime.stop_container(&id, 9, std::time::Duration::ZERO)).expect("stops");
    node.wait(node.runtime.remove_container(&id)).expect("removed");
    let is_left = fs::read_dir("/proc")
        .expect("readable")
        .flatten()
        .any(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x001234\0"));
    assert!(!is_left);
}

fn many_layers_make_one_root() {
    let node = Node::new();
    let layers: Vec<PathBuf> = (0..120)
        .map(|n| {
            let layer = node.directory.join("layers").join(format!("{n:03}-{}", "x".repeat(80)));
            fs::create_dir_all(layer.join("etc")).expect("made");
            fs::write(layer.join("etc/last"), format!("{n}")).expect("written");
            layer
        })
        .collect();
    let text = output(&node, "cat /etc/last /etc/layer; touch /etc/mine && echo ok", |config| {
        let Rootfs::Overlay { layers: own } = &mut config.rootfs else { unreachable!("the default") };
        own.extend(layers);
    });
    assert_eq!(text, "119top\nok");
}
