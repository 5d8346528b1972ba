//! tonic.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::{Example, PATIENCE};

/// Calls `Hello` with a name, and returns the message that came back, and all headers and trailers.
async fn call(example: &Example, name: &str) -> (Bytes, HeaderMap) {
    let stream = TcpStream::connect(example.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{}/greeting.Greeter/Hello", example.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut send) = client.ready().await.unwrap().send_request(request, false).unwrap();
    // One message, not compressed: field 1, of text.
    let length = u8::try_from(name.len()).unwrap();
    let mut message = BytesMut::new();
    message.put_slice(&[0, 0, 0, 0, length + 2, 0x0a, length]);
    message.put_slice(name.as_bytes());
    // A refusal may come before it is sent.
    let _ = send.send_data(message.freeze(), true);
    let (parts, mut body) = response.await.unwrap().into_parts();
    assert_eq!(parts.status, 200);
    let mut received = BytesMut::new();
    while let Some(data) = body.data().await {
        received.extend_from_slice(&data.unwrap());
    }
    let mut headers = parts.headers;
    headers.extend(body.trailers().await.unwrap().unwrap_or_default());
    connection.abort();
    (received.freeze(), headers)
}

#[tokio::test]
async fn tonic_answers_five_calls_and_is_exhausted_then() {
    let example = Example::start("tonic", &[]);
    let mut answered = 0;
    let run = async {
        loop {
            let (message, headers) = call(&example, "you").await;
            let status = headers["grpc-status"].to_str().unwrap().to_owned();
            if status != "0" {
                return (message, headers, status);
            }
            assert_eq!(&message[..], b"\0\0\0\0\x0b\x0a\x09hello you");
            answered += 1;
        }
    };
    let (message, headers, status) = timeout(PATIENCE, run).await.expect("it is refused");
    assert!(answered >= 5, "{answered}");
    assert_eq!(status, "8", "RESOURCE_EXHAUSTED");
    assert!(message.is_empty());
    assert_eq!(headers["content-type"], "application/grpc");
    let told = headers["grpc-message"].to_str().unwrap();
    assert!(told.starts_with("limit calls, try again in "), "{told}");
}
