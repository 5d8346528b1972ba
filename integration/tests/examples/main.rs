//! The examples, each started as a process and asked over a socket.

mod grpc;
mod mesh;
mod process;
mod web;
