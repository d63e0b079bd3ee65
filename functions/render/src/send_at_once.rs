//! What is written to the Lambda runtime API leaves at once.
//!
//! A streamed answer is written in pieces: what it is, then its body. By default
//! Linux holds the second small piece back until the first is acknowledged, which
//! the other side puts off by 40 ms (Nagle's algorithm against delayed
//! acknowledgements, RFC 1122 4.2.3): 40 billed milliseconds in each answer. The
//! runtime's client has no option for it, so the option is set on its socket.

use std::{
    fs,
    net::SocketAddr,
    os::fd::{BorrowedFd, RawFd},
};

use socket2::SockRef;

/// Sets it for all connections to the runtime API: some microseconds where
/// descriptors are few, as in a Lambda. Without an API, or without `/proc`, nothing
/// happens.
pub(crate) fn send_at_once() {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else { return };
    let Ok(api) = api.parse::<SocketAddr>() else { return };
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return };
    for descriptor in descriptors.flatten() {
        let number = descriptor.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number {
            set_where_peer(number, api);
        }
    }
}

fn set_where_peer(descriptor: RawFd, api: SocketAddr) {
    // SAFETY: it was open a moment ago. If another thread closed it since, the call
    // fails, or meets another socket: one with this peer wants the option too.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let socket = SockRef::from(&descriptor);
    if socket.peer_addr().ok().and_then(|peer| peer.as_socket()) == Some(api) {
        // An answer 40 ms late is better than none.
        let _ = socket.set_tcp_nodelay(true);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn connections_to_the_api_alone_send_at_once() {
        let [api, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let connect = |to: &TcpListener| {
            TcpStream::connect(to.local_addr().expect("an address")).expect("a connection")
        };
        let (to_api, to_other) = (connect(&api), connect(&other));
        let address = api.local_addr().expect("an address");
        for stream in [&to_api, &to_other] {
            set_where_peer(stream.as_raw_fd(), address);
        }
        assert!(to_api.nodelay().expect("an option"));
        assert!(!to_other.nodelay().expect("an option"));
    }
}
