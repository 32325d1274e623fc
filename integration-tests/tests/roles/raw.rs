//! Makes any call by its name: one encoded message there, at most one back.

use bytes::{Buf as _, BufMut as _};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

/// Messages as bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// Calls `Service.Method` with one message, and waits for the first answer. A call that is not a stream looks the
/// same on the wire.
pub(crate) async fn call(channel: Channel, call: &str, message: Vec<u8>) -> Result<(), Status> {
    let path = format!("/handfast.v1.{}", call.replace('.', "/"));
    let path: PathAndQuery = path.parse().map_err(|_| Status::internal("no path"))?;
    let mut client = Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|e| Status::internal(format!("connect: {e}")))?;
    let request = Request::new(tokio_stream::once(message));
    let answer = client.streaming(request, path, Raw).await?;
    answer.into_inner().message().await.map(drop)
}
