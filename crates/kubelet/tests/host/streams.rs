//! The node agent's server: logs, exec, attach, port-forward, and who is let in.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Test;
use crate::client::{ADMIN, connect, drain, get, get_logs, say, socket};
use crate::cluster::run;

pub(crate) const TESTS: &[Test] = &[
    ("streams::only_the_entitled_come_in", only_the_entitled_come_in),
    ("streams::logs_are_cut_as_asked", logs_are_cut_as_asked),
    ("streams::logs_are_followed_to_the_end", logs_are_followed_to_the_end),
    ("streams::commands_run_and_tell_their_exit", commands_run_and_tell_their_exit),
    ("streams::attached_clients_type_and_hear", attached_clients_type_and_hear),
    ("streams::ports_are_forwarded_over_spdy", ports_are_forwarded_over_spdy),
    ("streams::ports_are_forwarded_over_channels", ports_are_forwarded_over_channels),
];

fn only_the_entitled_come_in() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        assert_eq!(get(&cluster, None, "/pods").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(get(&cluster, Some(("somebody", "people")), "/pods").await.0, StatusCode::FORBIDDEN);
        assert_eq!(get(&cluster, ADMIN, "/healthz").await, (StatusCode::OK, "ok".to_owned()));
        assert!(get(&cluster, ADMIN, "/pods").await.1.contains("PodList"));
        assert_eq!(get(&cluster, ADMIN, "/containerLogs/default/none/main").await.0, StatusCode::NOT_FOUND);
    });
}

fn logs_are_cut_as_asked() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster
            .create_pod(
                "web",
                "for i in $(seq 1 5); do echo line $i; done; echo oops >&2; exit 0",
                json!({}),
                json!({"restartPolicy": "Never"}),
            )
            .await;
        cluster.until("web", "over", |pod| pod["status"]["phase"] == "Succeeded").await;
        assert_eq!(get_logs(&cluster, "web", "?tailLines=2").await, "line 5\noops\n");
        assert_eq!(get_logs(&cluster, "web", "?stream=Stderr").await, "oops\n");
        assert_eq!(get_logs(&cluster, "web", "?limitBytes=9").await, "line 1\nli");
        assert_eq!(get_logs(&cluster, "web", "?tailLines=0").await, "");
        assert_eq!(get_logs(&cluster, "web", "?sinceTime=2100-01-01T00:00:00Z").await, "");
        let timed = get_logs(&cluster, "web", "?timestamps=true&tailLines=1").await;
        assert!(timed.ends_with("Z oops\n"), "{timed}");
        assert!(get_logs(&cluster, "web", "?previous=true").await.contains("previous terminated container"));
    });
}

fn logs_are_followed_to_the_end() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster
            .create_pod("web", "echo one; sleep 0.5; echo two; sleep 0.5; echo three", json!({}), json!({"restartPolicy": "Never"}))
            .await;
        cluster.until_running("web").await;
        let began = Instant::now();
        assert_eq!(get_logs(&cluster, "web", "?follow=true").await, "one\ntwo\nthree\n");
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}

fn commands_run_and_tell_their_exit() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster.create_pod("web", "sleep 1000", json!({}), json!({})).await;
        cluster.until_running("web").await;
        let path = |rest: &str| format!("/exec/default/web/main?{rest}");
        let mut plain = socket(
            &cluster,
            &path("command=/bin/sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+7&output=1&error=1"),
            "v5.channel.k8s.io",
        )
        .await;
        let (out, err, status) = drain(&mut plain).await;
        assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
        let status: Value = serde_json::from_str(&status).expect("a status");
        assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("NonZeroExitCode")));
        assert_eq!(status["details"]["causes"][0]["message"], "7");
        // Standard input, closed by the client.
        let mut piped = socket(&cluster, &path("command=/bin/cat&input=1&output=1"), "v5.channel.k8s.io").await;
        say(&mut piped, 0, b"through").await;
        say(&mut piped, 255, &[0]).await;
        let (out, _, status) = drain(&mut piped).await;
        assert_eq!(out, "through");
        assert!(status.contains("Success"), "{status}");
        // A terminal.
        let mut terminal =
            socket(&cluster, &path("command=/bin/sh&command=-c&command=stty+size%3B+tty&tty=1&output=1&input=1"), "v4.channel.k8s.io")
                .await;
        say(&mut terminal, 4, br#"{"Width":91,"Height":33}"#).await;
        let (_, _, status) = drain(&mut terminal).await;
        assert!(status.contains("status"), "{status}");
        let mut missing = socket(&cluster, &path("command=/no/such&output=1"), "v5.channel.k8s.io").await;
        let (_, _, status) = drain(&mut missing).await;
        assert!(status.contains("Failure"), "{status}");
        let began = Instant::now();
        for _ in 0..10 {
            drain(&mut socket(&cluster, &path("command=/bin/true&output=1"), "v5.channel.k8s.io").await).await;
        }
        println!("    exec round trip: {:?}", began.elapsed() / 10);
    });
}

fn attached_clients_type_and_hear() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let container = json!({"stdin": true, "stdinOnce": true});
        cluster.create_pod("web", "while read line; do echo heard $line; done; exit 0", container, json!({"restartPolicy": "Never"})).await;
        cluster.until_running("web").await;
        let mut attached = socket(&cluster, "/attach/default/web/main?input=1&output=1&error=1", "v5.channel.k8s.io").await;
        say(&mut attached, 0, b"hello\n").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        say(&mut attached, 255, &[0]).await;
        let (out, _, status) = drain(&mut attached).await;
        assert_eq!(out, "heard hello\n");
        assert!(status.contains("Success"), "{status}");
    });
}

const ECHO: &str = "while true; do echo hi | nc -l -p 8080; done";

fn ports_are_forwarded_over_spdy() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster.create_pod("web", ECHO, json!({}), json!({})).await;
        cluster.until_running("web").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut stream = connect(&cluster, ADMIN).await;
        let request = "POST /portForward/default/web HTTP/1.1\r\nHost: node-1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        // Two streams, their headers stored within zlib: error 1, data 3.
        for (id, kind, is_first) in [(1u32, "error", true), (3, "data", false)] {
            let mut block = 3u32.to_be_bytes().to_vec();
            for text in ["streamtype", kind, "port", "8080", "requestid", "0"] {
                block.extend_from_slice(&(text.len() as u32).to_be_bytes());
                block.extend_from_slice(text.as_bytes());
            }
            let length = u16::try_from(block.len()).expect("short");
            let mut body = [id.to_be_bytes(), [0; 4]].concat();
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(if is_first { &[0x78, 0x01] } else { &[] });
            body.push(0);
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(&(!length).to_le_bytes());
            body.extend_from_slice(&block);
            let mut frame = vec![0x80, 3, 0, 1, 0];
            frame.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            frame.extend_from_slice(&body);
            stream.write_all(&frame).await.expect("sent");
        }
        let mut heard = Vec::new();
        loop {
            let mut head = [0; 8];
            stream.read_exact(&mut head).await.expect("a frame");
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("a body");
            if head[..4] == 3u32.to_be_bytes() {
                heard.extend_from_slice(&body);
                if head[4] == 1 {
                    break;
                }
            }
            assert!(head[..4] != 1u32.to_be_bytes() || body.is_empty(), "{}", String::from_utf8_lossy(&body));
        }
        assert_eq!(heard, b"hi\n");
    });
}

fn ports_are_forwarded_over_channels() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster.create_pod("web", ECHO, json!({}), json!({})).await;
        cluster.until_running("web").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut forwarded = socket(&cluster, "/portForward/default/web?port=8080", "v4.channel.k8s.io").await;
        let mut heard = Vec::new();
        while !heard.ends_with(b"hi\n") {
            use futures_util::StreamExt;
            let message =
                tokio::time::timeout(Duration::from_secs(10), forwarded.next()).await.expect("in time").expect("more").expect("a message");
            let data = message.into_data();
            if data.first() == Some(&0) {
                heard.extend_from_slice(&data[1..]);
            }
        }
        assert_eq!(heard, [&8080u16.to_le_bytes()[..], b"hi\n"].concat());
    });
}
