use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use net_link::pod::{PodAddresses, PodNetwork, PodNetworkConfig};

use net_link::scratch::Scratch;

/// Says so and returns false when not root.
fn may_run(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {test} needs root");
    }
    is_root
}

fn scratch() -> Scratch {
    Scratch::new().expect("root may make a namespace")
}

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coracle-net-link-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(folder: &Folder, cidrs: &[&str]) -> PodNetworkConfig {
    let pod_cidrs = cidrs.iter().map(|text| text.parse().expect("a range")).collect();
    PodNetworkConfig { cluster: "test".to_owned(), pod_cidrs, mtu: None, state_dir: folder.0.clone() }
}

const BOTH: &[&str] = &["10.244.0.0/24", "fd00:10:244::/64"];

fn open(host: &Scratch, config: PodNetworkConfig) -> PodNetwork {
    host.run(move || PodNetwork::open(config)).expect("the pod network opens")
}

/// All calls of a `PodNetwork` happen on a thread of the host's namespace.
fn attach(host: &Scratch, network: &std::sync::Arc<PodNetwork>, uid: &str, pod: &Scratch) -> net_link::netlink::Result<PodAddresses> {
    let (network, uid, path) = (network.clone(), uid.to_owned(), pod.path().to_owned());
    host.run(move || network.attach(&uid, &path))
}

fn answers(server: &Scratch, client: &Scratch, address: IpAddr) -> bool {
    let listener = server.run(move || TcpListener::bind(SocketAddr::new(address, 8080)).expect("the address is there"));
    let serving = std::thread::spawn(move || listener.accept().map(|(mut stream, from)| (stream.write_all(b"hello"), from.ip())));
    let text = client.run(move || {
        let mut text = String::new();
        let stream = TcpStream::connect_timeout(&SocketAddr::new(address, 8080), Duration::from_secs(5));
        stream.and_then(|mut stream| stream.read_to_string(&mut text)).map(|_| text)
    });
    match text {
        Ok(text) => text == "hello" && serving.join().is_ok(),
        Err(_) => false,
    }
}

#[test]
fn pods_reach_each_other_and_the_node_over_both_families() {
    if !may_run("pods_reach_each_other_and_the_node_over_both_families") {
        return;
    }
    let (folder, host, a, b) = (
        Folder::new("reach"),
        Scratch::with_addresses(&["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().expect("an address"))).expect("a node"),
        scratch(),
        scratch(),
    );
    let network = std::sync::Arc::new(open(&host, config(&folder, BOTH)));
    let of_a = attach(&host, &network, "a", &a).expect("a is attached");
    let of_b = attach(&host, &network, "b", &b).expect("b is attached");
    assert_eq!(format!("{of_a:?}"), "PodAddresses { ipv4: Some(10.244.0.1), ipv6: Some(fd00:10:244::1) }");
    for address in of_b.iter() {
        assert!(answers(&b, &a, address), "pod to pod {address}");
        assert!(answers(&b, &host, address), "node to pod {address}");
    }
    assert_eq!(attach(&host, &network, "a", &a).expect("again"), of_a, "attaching again changes nothing");
}

#[test]
fn a_new_process_takes_over_what_is_there_and_reset_leaves_nothing() {
    if !may_run("a_new_process_takes_over_what_is_there_and_reset_leaves_nothing") {
        return;
    }
    let (folder, host, a, b) = (Folder::new("adopt"), scratch(), scratch(), scratch());
    let forwarding = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").map(|text| text.trim().to_owned()).unwrap_or_default();
    // A new namespace takes after the host's first one.
    let before = host.run(forwarding);
    let network = std::sync::Arc::new(open(&host, config(&folder, BOTH)));
    assert_eq!(host.run(forwarding), "1");
    let of_a = attach(&host, &network, "a", &a).expect("a is attached");
    drop(network);

    let network = std::sync::Arc::new(open(&host, config(&folder, BOTH)));
    assert_eq!(network.addresses("a"), Some(of_a));
    let of_b = attach(&host, &network, "b", &b).expect("b is attached");
    assert!(of_b.iter().all(|address| of_a.iter().all(|taken| taken != address)), "no address is used twice");
    let again = network.clone();
    host.run(move || again.detach("b").and_then(|()| again.detach("b"))).expect("detaching twice is harmless");
    assert_eq!(network.list(), [("a".to_owned(), of_a)]);

    let state = folder.0.clone();
    host.run(move || PodNetwork::reset("test", &state)).expect("reset");
    assert_eq!(host.run(forwarding), before);
    let links = host.run(|| net_link::route::RouteSocket::open().and_then(|mut socket| socket.links())).expect("links");
    assert!(links.iter().all(|link| !link.name.starts_with("cor")), "{links:?}");
}

#[test]
fn addresses_run_out_with_a_clear_error_and_come_back() {
    if !may_run("addresses_run_out_with_a_clear_error_and_come_back") {
        return;
    }
    let (folder, host, a, b) = (Folder::new("full"), scratch(), scratch(), scratch());
    let network = std::sync::Arc::new(open(&host, config(&folder, &["10.9.9.0/30"])));
    let of_a = attach(&host, &network, "a", &a).expect("first");
    attach(&host, &network, "b", &b).expect("second");
    let error = attach(&host, &network, "c", &b).expect_err("two addresses are all there is").to_string();
    assert_eq!(error, "cannot find a free pod address in 10.9.9.0/30: Cannot assign requested address (os error 99)");
    let freed = network.clone();
    host.run(move || freed.detach("a")).expect("detach");
    // The pod restarts with a new namespace under another uid, and gets the freed address.
    assert_eq!(attach(&host, &network, "d", &scratch()).expect("there is room again"), of_a);
}

#[test]
fn attaching_is_quick() {
    if !may_run("attaching_is_quick") {
        return;
    }
    let (folder, host) = (Folder::new("quick"), scratch());
    let network = std::sync::Arc::new(open(&host, config(&folder, BOTH)));
    let mut spent = Vec::new();
    for n in 0..20 {
        let pod = scratch();
        let start = Instant::now();
        attach(&host, &network, &format!("pod-{n}"), &pod).expect("attached");
        spent.push(start.elapsed());
    }
    spent.sort();
    eprintln!("attach: p50 {:?}, max {:?}", spent[10], spent[19]);
    assert!(spent[10] < Duration::from_millis(50), "an order of magnitude above the aim of 5 ms: {spent:?}");
}
