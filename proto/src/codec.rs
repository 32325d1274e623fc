//! How messages are laid on a stream: as protobuf, in buffers that begin small.
//!
//! A stream keeps its buffers for as long as it is open, and most streams of a daemon are idle: with the library's
//! 8 KiB for each direction, thousands of them would cost more than all else that is kept of them. A buffer grows once
//! for each message that does not fit, to what that needs.

use std::marker::PhantomData;

use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// Bytes of a buffer at first: a hello, a welcome, a receipt or an acknowledgement.
const FIRST_BYTES: usize = 256;

/// Encoded bytes after which a stream hands over what it has, though more messages are ready.
const HAND_OVER_BYTES: usize = 32 * 1024;

fn buffers() -> BufferSettings {
    BufferSettings::new(FIRST_BYTES, HAND_OVER_BYTES)
}

/// Sends `T` and takes `U`.
#[derive(Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

/// Encodes `T`.
#[derive(Debug)]
pub struct SmallEncoder<T>(PhantomData<T>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = SmallEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        SmallEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(buffers())
    }
}

impl<T: Message> Encoder for SmallEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // At once, so that a large message is not moved each time that a field does not fit.
        buf.reserve(item.encoded_len());
        item.encode(buf)
            .map_err(|error| Status::internal(format!("a message cannot be encoded: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
