//! Bent command lines, and bent files that people write for this program.

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::options::ServerOptions;
use crate::registries;

#[test]
fn command_lines() {
    let seeds = [
        "server --name x --data-dir /nowhere --api-port 1 --pod-cidr 10.0.0.0/8,fd00::/56 --service-cidr 255.255.255.255/32 --node-name n --node-ip 1.2.3.4,::1",
        "server --controllers=*,-scheduler --pod-cidr 0.0.0.0/0 --service-cidr ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 --log debug",
        "agent --server https://h:6443 --token T",
        "image pull a:1",
        "build -t a:1 --build-arg A=b .",
        "reset --name x",
        "status",
        "token",
    ];
    ::fuzz::run(&seeds, &["--", "-", "=", ",", " --name ", "::", "/129", "65536", "*", "up", "--help"], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(cli) = Cli::try_parse_from(["coracle"].into_iter().chain(text.split(' '))) else { return false };
        let Command::Server(flags) = cli.command else { return true };
        ServerOptions::resolve(&flags).is_ok_and(|options| {
            // The API's Service and DNS.
            drop((options.service_ranges.nth(1), options.service_ranges.nth(10)));
            true
        })
    });
}

#[test]
fn registries_file() {
    let seeds = [
        "mirrors: {docker.io: {endpoint: ['http://10.0.0.5:5000']}}\nconfigs:\n  a.example: {auth: {username: me, password: x}}\n  b: {tls: {ca_file: /x}}\n",
    ];
    ::fuzz::run(&seeds, &["mirrors:", "docker.io", "- ", "https://", "[", "{", "&a ", "*a", "? "], |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|text| registries::read(text).is_ok())
    });
}
