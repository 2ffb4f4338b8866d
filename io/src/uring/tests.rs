//! Against real sockets. Where the kernel has no io_uring there is nothing to test.

use super::{Rings, Socket};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(20);
/// More than what sockets buffer.
const LARGE_BYTES: usize = 8 << 20;

/// Runs on rings, or says that there are none.
fn on_rings(threads: usize, test: impl AsyncFnOnce(Rings)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        match Rings::start(threads) {
            Ok(rings) => tokio::time::timeout(PATIENCE, test(rings)).await.expect("it takes too long"),
            Err(why) => eprintln!("not tested: {why}"),
        }
    });
}

fn pair(keeps_receiving: bool) -> (Socket, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    there.set_read_timeout(Some(PATIENCE)).unwrap();
    (Socket::new(here.into(), keeps_receiving), there)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 3) as u8).collect()
}

async fn echo(mut socket: Socket) {
    let mut bytes = vec![0; 100_000];
    while let Ok(len @ 1..) = socket.read(&mut bytes).await {
        if socket.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

#[test]
fn bytes_come_back_as_they_were_sent_however_many() {
    on_rings(2, async |rings| {
        for keeps_receiving in [true, false] {
            for len in [1, 100, 16 * 1024, 16 * 1024 + 1, 65_536, LARGE_BYTES] {
                let (socket, mut there) = pair(keeps_receiving);
                let served = rings.spawn(echo(socket));
                let mut writer = there.try_clone().unwrap();
                let sent = pattern(len);
                let writing = std::thread::spawn({
                    let sent = sent.clone();
                    move || {
                        writer.write_all(&sent).unwrap();
                        writer.shutdown(std::net::Shutdown::Write).unwrap();
                    }
                });
                let reading = tokio::task::spawn_blocking(move || {
                    let mut heard = Vec::new();
                    there.read_to_end(&mut heard).unwrap();
                    heard
                });
                let heard = reading.await.unwrap();
                writing.join().unwrap();
                assert!(heard == sent, "{len} bytes, {} came back", heard.len());
                assert_eq!(served.await, Some(()));
            }
        }
    });
}

#[test]
fn many_speak_at_once_and_each_hears_its_own() {
    // More than there are buffers.
    const CLIENTS: usize = 600;
    on_rings(2, async |rings| {
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let (socket, there) = pair(number % 2 == 0);
            rings.spawn(echo(socket)).detach();
            clients.push(there);
        }
        let talking = tokio::task::spawn_blocking(move || {
            for round in 0..20_u32 {
                for (number, there) in clients.iter_mut().enumerate() {
                    let said = format!("{number} says {round}");
                    there.write_all(said.as_bytes()).unwrap();
                }
                for (number, there) in clients.iter_mut().enumerate() {
                    let said = format!("{number} says {round}");
                    let mut heard = vec![0; said.len()];
                    there.read_exact(&mut heard).unwrap();
                    assert_eq!(String::from_utf8_lossy(&heard), said);
                }
            }
        });
        talking.await.unwrap();
    });
}

#[test]
fn what_nobody_takes_stays_with_its_sender_and_nobody_else_is_kept_waiting() {
    on_rings(1, async |rings| {
        let mut holding = Vec::new();
        for _ in 0..40 {
            let (mut socket, mut there) = pair(true);
            let (go_on, told) = oneshot::channel::<()>();
            let (tell, heard) = oneshot::channel();
            rings
                .spawn(async move {
                    // From here on it is received, and not read.
                    let mut first = [0; 1];
                    socket.read_exact(&mut first).await.unwrap();
                    told.await.unwrap();
                    let mut rest = vec![0; LARGE_BYTES / 4 - 1];
                    socket.read_exact(&mut rest).await.unwrap();
                    let _ = tell.send((first[0], rest));
                })
                .detach();
            let sending = std::thread::spawn(move || {
                there.write_all(&pattern(LARGE_BYTES / 4)).unwrap();
                there
            });
            holding.push((go_on, heard, sending));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let sent = holding.iter().filter(|(_, _, sending)| sending.is_finished()).count();
        assert_eq!(sent, 0, "senders are held back");
        let (socket, mut there) = pair(true);
        rings.spawn(echo(socket)).detach();
        let said = tokio::task::spawn_blocking(move || {
            there.write_all(b"still there?").unwrap();
            let mut heard = [0; 12];
            there.read_exact(&mut heard).unwrap();
            heard
        });
        assert_eq!(&said.await.unwrap(), b"still there?");
        for (go_on, heard, sending) in holding {
            go_on.send(()).unwrap();
            let (first, rest) = heard.await.unwrap();
            assert!([vec![first], rest].concat() == pattern(LARGE_BYTES / 4));
            drop(sending.join().unwrap());
        }
    });
}

#[test]
fn one_at_rest_goes_on_with_another_thread() {
    on_rings(2, async |rings| {
        let (mut socket, mut there) = pair(false);
        for round in 0..20_u8 {
            there.write_all(&[round]).unwrap();
            let used = rings.spawn(async move {
                let mut byte = [0];
                socket.read_exact(&mut byte).await.unwrap();
                socket.write_all(&byte).await.unwrap();
                // Until the kernel has it, it is not at rest.
                std::future::poll_fn(|cx| if socket.rest() { Poll::Ready(()) } else { yield_to(cx) }).await;
                assert!(!socket.has_news());
                socket
            });
            socket = used.await.unwrap();
            let mut byte = [0];
            there.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [round]);
        }
        there.write_all(b"unasked").unwrap();
        assert!(socket.has_news());
    });
}

fn yield_to(cx: &mut std::task::Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[test]
fn one_that_waits_for_something_cannot_rest_nor_be_used_elsewhere() {
    on_rings(2, async |rings| {
        let (mut socket, there) = pair(false);
        let waiting = rings.spawn(async move {
            let mut byte = [0];
            std::future::poll_fn(|cx| {
                let mut buf = tokio::io::ReadBuf::new(&mut byte);
                assert!(tokio::io::AsyncRead::poll_read(Pin::new(&mut socket), cx, &mut buf).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(!socket.rest());
            (socket, std::thread::current().id())
        });
        let (mut socket, thread) = waiting.await.unwrap();
        // Tasks go to the threads in turn.
        let elsewhere = async move {
            let refused = socket.read_u8().await.is_err();
            (refused, std::thread::current().id())
        };
        let (refused, other) = rings.spawn(elsewhere).await.unwrap();
        assert!(refused && thread != other);
        drop(there);
    });
}

#[test]
fn a_dropped_socket_is_closed_whatever_it_waited_for_and_wherever() {
    on_rings(1, async |rings| {
        for is_dropped_elsewhere in [false, true] {
            let (mut socket, mut there) = pair(true);
            let started = rings.spawn(async move {
                std::future::poll_fn(|cx| {
                    let mut byte = [0];
                    let mut buf = tokio::io::ReadBuf::new(&mut byte);
                    let _ = tokio::io::AsyncRead::poll_read(Pin::new(&mut socket), cx, &mut buf);
                    Poll::Ready(())
                })
                .await;
                // Nobody takes it all.
                socket.write_all(&pattern(LARGE_BYTES / 8)[..1 << 18]).await.unwrap();
                is_dropped_elsewhere.then_some(socket)
            });
            drop(started.await.unwrap());
            let heard = tokio::task::spawn_blocking(move || {
                let mut heard = Vec::new();
                there.read_to_end(&mut heard).map(|_| heard.len())
            });
            // What did not go at once may be lost, as with any socket that is closed with bytes in it.
            heard.await.unwrap().expect("an end");
        }
    });
}

#[test]
fn a_task_that_panics_takes_nobody_with_it_and_one_that_is_dropped_ends() {
    on_rings(1, async |rings| {
        assert_eq!(rings.spawn(async { panic!("as this test wants") }).await, None::<()>);
        let (tell, told) = mpsc::channel::<()>();
        let endless = rings.spawn(async move {
            std::future::pending::<()>().await;
            drop(tell);
        });
        drop(endless);
        let ended = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE));
        assert_eq!(ended.await.unwrap(), Err(mpsc::RecvTimeoutError::Disconnected));
        assert_eq!(rings.spawn(async { 7 }).await, Some(7));
    });
}

#[test]
fn timers_and_messages_from_elsewhere_wake_tasks() {
    on_rings(2, async |rings| {
        for _ in 0..200 {
            let (send, receive) = oneshot::channel();
            let task = rings.spawn(async move {
                tokio::time::sleep(Duration::from_micros(100)).await;
                receive.await.unwrap()
            });
            send.send(5).unwrap();
            assert_eq!(task.await, Some(5));
        }
    });
}

#[test]
fn tasks_are_spread_over_the_threads() {
    on_rings(4, async |rings| {
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (stop, stopped) = oneshot::channel::<()>();
            let (tell, told) = oneshot::channel();
            rings
                .spawn(async move {
                    let _ = tell.send(std::thread::current().id());
                    let _ = stopped.await;
                })
                .detach();
            tasks.push((told.await.unwrap(), stop));
        }
        for (thread, _) in &tasks {
            assert_eq!(tasks.iter().filter(|(other, _)| other == thread).count(), 2);
        }
    });
}
