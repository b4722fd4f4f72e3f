//! Further commands, attached clients, forwarded ports.

use std::time::Duration;

use oci_runtime::runtime::{Error, ExecRequest, Runtime, Session};
use oci_runtime::spec::ContainerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Test;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[
    ("sessions::a_command_has_its_own_streams_and_exit_code", a_command_has_its_own_streams_and_exit_code),
    ("sessions::a_command_reads_its_input_to_the_end", a_command_reads_its_input_to_the_end),
    ("sessions::a_terminal_has_a_size_and_an_echo", a_terminal_has_a_size_and_an_echo),
    ("sessions::a_command_that_takes_too_long_is_killed", a_command_that_takes_too_long_is_killed),
    ("sessions::commands_that_cannot_run_say_why", commands_that_cannot_run_say_why),
    ("sessions::a_command_has_the_containers_rights", a_command_has_the_containers_rights),
    ("sessions::attached_clients_see_and_write", attached_clients_see_and_write),
    ("sessions::input_once_ends_with_its_client", input_once_ends_with_its_client),
    ("sessions::a_slow_client_holds_the_output_but_loses_none", a_slow_client_holds_the_output_but_loses_none),
    ("sessions::a_container_with_a_terminal_logs_and_attaches", a_container_with_a_terminal_logs_and_attaches),
    ("sessions::ports_are_reached_inside_the_pod", ports_are_reached_inside_the_pod),
];

impl Node {
    fn session(&self, id: &ContainerId, script: &str, tty: bool) -> Session {
        let command = ["/bin/sh", "-c", script].map(String::from).to_vec();
        let request = ExecRequest { container: id.clone(), command, tty, stdin: true };
        self.wait(self.runtime.exec(request)).expect("the command runs")
    }

    fn read_to_end(&self, stream: &mut Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>) -> String {
        let mut text = String::new();
        self.wait(stream.as_mut().expect("a stream").read_to_string(&mut text)).expect("text");
        text
    }

    fn read_until(&self, stream: &mut Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>, end: &str) -> String {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(end) {
            let byte = self.wait(stream.as_mut().expect("a stream").read_u8()).unwrap_or_else(|error| {
                panic!("{error} before `{end}`: {:?}", String::from_utf8_lossy(&bytes));
            });
            bytes.push(byte);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn write(&self, session: &mut Session, text: &str) {
        self.wait(session.stdin.as_mut().expect("an input").write_all(text.as_bytes())).expect("written");
    }

    fn sleeper(&self) -> ContainerId {
        let sandbox = self.sandbox("sleeper");
        self.start(&sandbox, self.container_config("exec sleep 1000"))
    }
}

fn a_command_has_its_own_streams_and_exit_code() {
    let node = Node::new();
    let id = node.sleeper();
    let output = node.exec(&id, "echo out; echo err >&2; exit 42");
    assert_eq!((output.stdout, output.stderr, output.exit_code), (b"out\n".to_vec(), b"err\n".to_vec(), 42));
    assert_eq!(node.exec(&id, "kill -TERM $$").exit_code, 143);
    assert_eq!(node.exec(&id, "seq 1 200000 | wc -l").stdout, b"200000\n");
    assert_eq!(node.exec(&id, "seq 1 200000").stdout.len(), 1_288_895);
    assert_eq!(node.log(&id), "", "a command's output is not the container's");
}

fn a_command_reads_its_input_to_the_end() {
    let node = Node::new();
    let id = node.sleeper();
    let mut session = node.session(&id, "cat; echo end", false);
    node.write(&mut session, "one\ntwo\n");
    session.stdin = None;
    assert_eq!(node.read_to_end(&mut session.stdout), "one\ntwo\nend\n");
    assert_eq!(node.wait(session.exit).expect("ends"), 0);
}

fn a_terminal_has_a_size_and_an_echo() {
    let node = Node::new();
    let id = node.sleeper();
    let mut session = node.session(&id, "tty; read x; stty size; exit 3", true);
    assert!(session.stderr.is_none());
    assert!(node.read_until(&mut session.stdout, "\n").starts_with("/dev/pts/"));
    session.terminal.as_ref().expect("a terminal").0(100, 40).expect("resized");
    node.write(&mut session, "go\n");
    assert_eq!(node.read_to_end(&mut session.stdout), "go\r\n40 100\r\n");
    assert_eq!(node.wait(session.exit).expect("ends"), 3);
}

fn a_command_that_takes_too_long_is_killed() {
    let node = Node::new();
    let id = node.sleeper();
    let command = ["/bin/sh", "-c", "exec sleep 4321"].map(String::from).to_vec();
    let result = node.wait(node.runtime.exec_sync(&id, command, Some(Duration::from_millis(200))));
    assert!(matches!(result, Err(Error::DeadlineExceeded(_))), "{result:?}");
    let gone = "i=0; while ps | grep -q '[s]leep 4321'; do i=$((i+1)); [ $i -le 1000 ] || exit 1; done";
    assert_eq!(node.exec(&id, gone).exit_code, 0);
    // What a command leaves behind does not hold up its answer.
    let command = ["/bin/sh", "-c", "sleep 1000 & echo started"].map(String::from).to_vec();
    let output = node.wait(node.runtime.exec_sync(&id, command, Some(Duration::from_secs(20)))).expect("ends");
    assert_eq!(output.stdout, b"started\n");
}

fn commands_that_cannot_run_say_why() {
    let node = Node::new();
    let id = node.sleeper();
    let fail = |command: &[&str]| match node.wait(node.runtime.exec_sync(&id, command.iter().map(|word| word.to_string()).collect(), None))
    {
        Err(Error::StartFailed(message)) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(fail(&["nosuch"]), "exec: \"nosuch\": executable file not found in $PATH");
    assert_eq!(fail(&["/etc"]), "exec: \"/etc\": is a directory");
    fail(&[]);
    node.wait(node.runtime.stop_container(&id, 15, Duration::ZERO)).expect("stops");
    let result = node.wait(node.runtime.exec_sync(&id, vec!["true".into()], None));
    assert!(matches!(result, Err(Error::WrongState(_))), "{result:?}");
}

fn a_command_has_the_containers_rights() {
    let node = Node::new();
    let sandbox = node.sandbox("rights");
    let mut config = node.container_config("echo ready; exec sleep 1000");
    config.user.user = "app".into();
    config.security.capabilities_drop = vec!["ALL".into()];
    config.security.no_new_privileges = true;
    config.security.seccomp = oci_runtime::spec::Seccomp::RuntimeDefault;
    config.env = vec![("GREETING".into(), "hello".into())];
    config.working_dir = "/home/app".into();
    config.resources.memory_limit_bytes = Some(32 << 20);
    let id = node.start(&sandbox, config);
    let own = "id; pwd; echo $GREETING $HOME; grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/cgroup; ls /proc/self/fd | wc -l";
    let (inside, joined) = (node.output_like(&sandbox, &id, own), node.ask(&id, own));
    assert_eq!(inside, joined);
    for text in [
        "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)",
        "/home/app",
        "hello /home/app",
        "CapBnd:\t0000000000000000",
        "Seccomp:\t2",
    ] {
        assert!(joined.contains(text), "{text}: {joined}");
    }
    assert!(joined.contains("memory:/\n") || joined.contains("0::/\n"), "the cgroup is the container's own: {joined}");
}

impl Node {
    /// What the script gives as the first command of a container configured like `id`.
    fn output_like(&self, sandbox: &oci_runtime::spec::SandboxId, id: &ContainerId, script: &str) -> String {
        let directory = self.directory.join("run/sandboxes").join(&sandbox.0).join("containers").join(&id.0).join("config.json");
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(directory).expect("a record")).expect("JSON");
        let mut config: oci_runtime::spec::ContainerConfig = serde_json::from_value(record["config"].clone()).expect("a config");
        config.args = ["/bin/sh", "-c", script].map(String::from).to_vec();
        self.run(sandbox, config).1
    }
}

fn attached_clients_see_and_write() {
    let node = Node::new();
    let sandbox = node.sandbox("attach");
    let mut config = node.container_config("while read line; do echo got $line; echo err $line >&2; [ $line = end ] && exit 9; done");
    config.stdin = true;
    let id = node.start(&sandbox, config);
    let (mut one, mut two) =
        (node.wait(node.runtime.attach(&id)).expect("attached"), node.wait(node.runtime.attach(&id)).expect("attached"));
    node.write(&mut one, "a\n");
    assert_eq!(node.read_until(&mut one.stdout, "\n"), "got a\n");
    assert_eq!(node.read_until(&mut two.stdout, "\n"), "got a\n");
    assert_eq!(node.read_until(&mut two.stderr, "\n"), "err a\n");
    drop(one);
    node.write(&mut two, "b\nend\n");
    assert_eq!(node.read_to_end(&mut two.stdout), "got b\ngot end\n");
    assert_eq!(node.wait(two.exit).expect("ends"), 9);
    assert!(node.log(&id).contains("got b"));
}

fn input_once_ends_with_its_client() {
    let node = Node::new();
    let sandbox = node.sandbox("once");
    let mut config = node.container_config("cat; echo end of input");
    (config.stdin, config.stdin_once) = (true, true);
    let id = node.start(&sandbox, config);
    let mut session = node.wait(node.runtime.attach(&id)).expect("attached");
    node.write(&mut session, "words\n");
    drop(session);
    assert_eq!(node.exit(&id).code, 0);
    assert_eq!(node.log(&id), "words\nend of input");
}

fn a_slow_client_holds_the_output_but_loses_none() {
    let node = Node::new();
    let sandbox = node.sandbox("slow");
    let mut config = node.container_config("read go; seq 1 100000");
    config.stdin = true;
    let id = node.start(&sandbox, config);
    let mut slow = node.wait(node.runtime.attach(&id)).expect("attached");
    let leaving = node.wait(node.runtime.attach(&id)).expect("attached");
    node.write(&mut slow, "go\n");
    node.await_log(&id, "\n");
    drop(leaving);
    let text = node.read_to_end(&mut slow.stdout);
    assert_eq!(text.lines().count(), 100_000);
    node.exit(&id);
    assert_eq!(node.log(&id).lines().count(), 100_000);
}

fn a_container_with_a_terminal_logs_and_attaches() {
    let node = Node::new();
    let sandbox = node.sandbox("tty");
    let mut config = node.container_config("tty; read x; stty size; echo $TERM; ls -l /dev/console | cut -c1; exit 5");
    (config.tty, config.stdin) = (true, true);
    let id = node.start(&sandbox, config);
    node.await_log(&id, "/dev/pts/0");
    let mut session = node.wait(node.runtime.attach(&id)).expect("attached");
    session.terminal.as_ref().expect("a terminal").0(132, 50).expect("resized");
    node.write(&mut session, "hi\n");
    assert_eq!(node.read_to_end(&mut session.stdout), "hi\r\n50 132\r\nxterm\r\nc\r\n");
    assert_eq!(node.wait(session.exit).expect("ends"), 5);
    assert!(node.raw_log(&id).ends_with("stdout F c\r\n"), "{}", node.raw_log(&id));
    assert_eq!(node.log(&id), "/dev/pts/0\nhi\n50 132\nxterm\nc");
}

fn ports_are_reached_inside_the_pod() {
    let node = Node::new();
    let sandbox = node.sandbox("port");
    let id = node.start(&sandbox, node.container_config("echo ready; echo pong | nc -l -p 80 127.0.0.1; exec sleep 1000"));
    let stream = node.wait(async {
        // The log line comes before the listening.
        loop {
            match node.runtime.port_forward(&sandbox, 80).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(node.read_to_end(&mut Some(Box::new(stream))), "pong\n");
    let refused = node.wait(node.runtime.port_forward(&sandbox, 81)).err().expect("nobody listens");
    assert!(refused.to_string().contains("in the pod"), "{refused}");
    drop(id);
}
