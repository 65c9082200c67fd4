//! Responses from files.
//!
//! | module | |
//! | --- | --- |
//! | `open` | opens a file without trusting what was known before |
//! | `kernel` | opens and reads without waiting for a disk, and opens below a directory |
//! | `version` | the version of a file: its entity tag and its last change |
//! | `conditions` | conditional requests (RFC 9110 section 13) |
//! | `range` | requests for a part of a file (RFC 9110 section 14) |
//! | `stream` | the body of a response, after its first chunk |
//! | `response` | the head of a response, and the first chunk of its body |
//! | `cache` | small files that a loop keeps in memory |
//! | `serve` | the handler for one file |
//! | `directory` | the handler for a directory |

mod cache;
mod conditions;
mod directory;
mod kernel;
mod open;
mod range;
mod response;
mod serve;
mod stream;
mod version;

pub use directory::Directory;
pub use serve::serve_file;
