//! A real process on a real disk, killed with `kill -9` while many clients write.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::{TempDir, put};
use crate::{Options, Store};

const DIR: &str = "STORE_TEST_KILL_DIR";
const N_KILLS: usize = 6;
const N_CLIENTS: usize = 16;

fn options() -> Options {
    Options { segment_bytes: 256 << 10, snapshot_after_bytes: 1 << 20, ..Options::default() }
}

/// Not a test of its own: what the killed process runs. It says each acknowledged write on its output.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(dir.as_ref(), options()).expect("opens");
        let clients = (0..N_CLIENTS).map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = format!("/g/r/{client}");
                let mut n = store.get(&key).map_or(0, |r| number(&r.value));
                loop {
                    n += 1;
                    super::done(&store, vec![put(&key, &format!("{n} {}", "x".repeat((n as usize * 37) % 3000)))]).await;
                    // One write, so that lines do not mix; whoever reads has gone when this fails.
                    if std::io::stdout().write_all(format!("\nacknowledged {client} {n}\n").as_bytes()).is_err() {
                        return;
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no panic");
        }
    });
}

fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("text");
    text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn acknowledged_writes_outlive_kill_9() {
    let dir = TempDir::new("kill");
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for kill in 0..N_KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["tests::kill::child", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut take = |line: String| {
            let mut words = line.split(' ');
            if let (Some("acknowledged"), Some(client), Some(n)) = (words.next(), words.next(), words.next()) {
                acknowledged.insert(client.to_owned(), n.parse().expect("a number"));
            }
        };
        let n_before_kill = 500 + 400 * kill;
        for _ in 0..n_before_kill {
            take(lines.next().expect("the child goes on").expect("text"));
        }
        child.kill().expect("kills");
        child.wait().expect("ends");
        // What it said before it died counts as well; the last line may be half a one.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        let n_whole = rest.len().saturating_sub(1);
        rest.into_iter().take(n_whole).for_each(&mut take);
        let store = Store::open(dir.path(), options()).expect("opens after a kill");
        for (client, n) in &acknowledged {
            let found = number(&store.get(&format!("/g/r/{client}")).expect("acknowledged").value);
            assert!(found >= *n, "client {client}: {n} was acknowledged, {found} is there");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(store.close());
    }
    assert_eq!(acknowledged.len(), N_CLIENTS);
}
