//! Listening sockets of the server's and the node's ports.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::failure::Failure;

/// One socket for both families where the kernel has IPv6. `flag` is what moves it elsewhere.
pub(crate) async fn listen(port: u16, flag: &str) -> Result<TcpListener, Failure> {
    let any6 = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    let any4 = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port));
    match TcpListener::bind(any6).await {
        Ok(listener) => Ok(listener),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            Err(Failure::new(format!("port {port} is in use by another program (`ss -ltnp 'sport = {port}'` shows it)"))
                .hint(format!("{flag} PORT")))
        }
        Err(_) => TcpListener::bind(any4)
            .await
            .map_err(|e| Failure::caused(format!("cannot listen on port {port}"), &e).hint(format!("{flag} PORT"))),
    }
}
