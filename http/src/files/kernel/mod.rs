//! What the kernel can do without waiting for a disk, and below a directory. Only Linux has both.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::{Root, can_send, is_cached, open_now, read_now};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Root, can_send, is_cached, open_now, read_now};
