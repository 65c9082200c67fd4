//! Serves the files below a directory.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::files::open::{OpenFile, is_no_file, open_resolved};
use crate::files::response::{Encoding, FileResponse};
use crate::files::serve::respond;
use crate::message::content_coding::ContentCoding;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::head::RequestHead;
use crate::routing::method_router::get;
use crate::routing::router::Router;

/// How often a file is opened again because it was replaced at the same moment.
const OPEN_ATTEMPTS_MAX: usize = 3;

/// A directory to serve, with options; for [`Router::files`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Directory {
    root: PathBuf,
    index: Option<String>,
    dotfiles: bool,
    outside_links: bool,
    precompressed: bool,
}

/// A file to serve.
struct Located {
    opened: OpenFile,
    /// The path of the file whose type the content has.
    path: PathBuf,
    encoding: Encoding,
}

impl Directory {
    /// Creates options for the directory at `root`: without an index, without names that begin with
    /// a dot, and without symbolic links that lead out of the directory. `root` is resolved for
    /// each request, so it may be a link that changes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            index: None,
            dotfiles: false,
            outside_links: false,
            precompressed: false,
        }
    }

    /// Serves the file of this name, such as `index.html`, for the directory that it is in. Paths
    /// of directories without a slash at the end are redirected to the path with one, so that
    /// relative links in the file work.
    ///
    /// # Panics
    /// If `name` is not a file name, such as a path.
    pub fn index(mut self, name: &str) -> Self {
        assert!(is_name(name, true), "the index '{name}' must be a file name without a path");
        self.index = Some(name.to_owned());
        self
    }

    /// Also serves names that begin with a dot, such as `.well-known`, but also `.git` and `.env`.
    pub fn dotfiles(mut self) -> Self {
        self.dotfiles = true;
        self
    }

    /// Follows symbolic links that lead out of the directory.
    pub fn outside_links(mut self) -> Self {
        self.outside_links = true;
        self
    }

    /// Sends files that were compressed before: in place of `app.js`, the file `app.js.zst`,
    /// `app.js.br` or `app.js.gz` beside it, whichever the client likes best by its
    /// `Accept-Encoding`. If there is none of these, `app.js` itself is sent.
    ///
    /// Such a response has the `Content-Type` of `app.js`, the entity tag and the ranges of the
    /// file that is sent, a `Content-Encoding`, and a `Vary`. Whether the files have the same
    /// content is not checked: whatever changes one has to change the others.
    pub fn precompressed(mut self) -> Self {
        self.precompressed = true;
        self
    }

    /// Finds and opens the file for `path`, which is percent-encoded and relative to the directory.
    /// Returns `None` if it is a directory, whose path has to end in a slash.
    ///
    /// # Errors
    /// `NotFound` if the file may not be served, and the errors of the file system.
    fn locate(&self, path: &str, head: &RequestHead) -> io::Result<Option<Located>> {
        let mut wanted = self.root.clone();
        // Without a path the directory itself is wanted. Otherwise an empty segment names nothing.
        let has_slash = path.is_empty() || path.ends_with('/');
        if !path.is_empty() {
            for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
                wanted.push(&*self.name(segment)?);
            }
        }
        match &self.index {
            Some(index) if has_slash => wanted.push(index),
            None if has_slash => return Err(io::ErrorKind::NotFound.into()),
            _ => {}
        }
        for _ in 0..OPEN_ATTEMPTS_MAX {
            let found = self.resolve(&wanted)?;
            if !has_slash && self.index.is_some() && fs::metadata(&found)?.is_dir() {
                return Ok(None);
            }
            if let Some(opened) = open_resolved(&found)? {
                return Ok(Some(match self.compressed(&wanted, head)? {
                    Some((opened, coding)) => {
                        Located { opened, path: found, encoding: Encoding::Coded(coding) }
                    }
                    None if self.precompressed => {
                        Located { opened, path: found, encoding: Encoding::Plain }
                    }
                    None => Located { opened, path: found, encoding: Encoding::Only },
                }));
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Opens the file beside `wanted` that contains the same, compressed in the way that the client
    /// likes best.
    fn compressed(
        &self,
        wanted: &Path,
        head: &RequestHead,
    ) -> io::Result<Option<(OpenFile, ContentCoding)>> {
        let mut offered = match self.precompressed {
            true => ContentCoding::ALL.to_vec(),
            false => Vec::new(),
        };
        while let Some(coding) = ContentCoding::negotiate(head, offered.iter().copied()) {
            let mut path = wanted.as_os_str().to_owned();
            path.push(extension(coding));
            match self.resolve(Path::new(&path)).and_then(|found| open_resolved(&found)) {
                Ok(Some(opened)) => return Ok(Some((opened, coding))),
                Ok(None) => {}
                Err(error) if is_no_file(&error) => {}
                Err(error) => return Err(error),
            }
            offered.retain(|known| *known != coding);
        }
        Ok(None)
    }

    /// Follows all symbolic links in `wanted`.
    ///
    /// # Errors
    /// `NotFound` if what it leads to may not be served, and the errors of realpath(3).
    fn resolve(&self, wanted: &Path) -> io::Result<PathBuf> {
        let (root, found) = (fs::canonicalize(&self.root)?, fs::canonicalize(wanted)?);
        let is_inside = found.starts_with(&root);
        let is_shared = |(known, part): &(Component<'_>, Component<'_>)| known == part;
        let shared = root.components().zip(found.components()).take_while(is_shared).count();
        let is_visible = |part: Component<'_>| {
            let name = part.as_os_str().as_encoded_bytes();
            let is_index = self.index.as_ref().is_some_and(|index| index.as_bytes() == name);
            !name.starts_with(b".") || is_index
        };
        let is_allowed = (is_inside || self.outside_links)
            && (self.dotfiles || found.components().skip(shared).all(is_visible));
        match is_allowed {
            true => Ok(found),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Decodes a segment of a path to a file name.
    fn name<'a>(&self, segment: &'a str) -> io::Result<Cow<'a, str>> {
        let name = percent_decode_str(segment).decode_utf8().ok();
        let name = name.filter(|name| is_name(name, self.dotfiles));
        name.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Returns the extension of files that are compressed in this way.
const fn extension(coding: ContentCoding) -> &'static str {
    match coding {
        ContentCoding::Zstd => ".zst",
        ContentCoding::Brotli => ".br",
        ContentCoding::Gzip => ".gz",
    }
}

/// Returns `true` if `name` can only name something directly in a directory.
fn is_name(name: &str, may_be_hidden: bool) -> bool {
    let is_safe = !name.is_empty() && !name.contains(['/', '\\', '\0']);
    is_safe && name != "." && name != ".." && (may_be_hidden || !name.starts_with('.'))
}

impl Router {
    /// Serves the files below a directory for GET and HEAD below `prefix`, as
    /// [`serve_file`](crate::serve_file) does. The response is a 404 if there is no such file.
    /// Directories are not listed.
    ///
    /// Each segment of a path is percent-decoded on its own and must be a file name. The response
    /// is a 404 if a segment is empty, is `.` or `..`, contains a slash, a backslash or NUL, or is
    /// not UTF-8. Unless [`Directory`] allows it, it is also a 404 if a segment begins with a dot,
    /// or if the file is not below the directory after following all symbolic links. A link to a
    /// name that begins with a dot, or through a directory with such a name, is a 404 too.
    ///
    /// # Panics
    /// As [`Router::route`] does; a slash at the end of `prefix` makes no difference.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::{Directory, Router};
    ///
    /// let router = Router::new().files("/static", Directory::new("public").index("index.html"));
    /// ```
    #[must_use]
    pub fn files(self, prefix: &str, directory: Directory) -> Self {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let directory = Arc::new(directory);
        let at_root = directory.clone();
        let below = get(move |request| serve(directory.clone(), request));
        let root = get(move |request| serve(at_root.clone(), request));
        let router = self.route(&format!("{prefix}/{{*path}}"), below);
        match prefix {
            "" => router.root(root, get(redirect)),
            prefix => router.route(&format!("{prefix}/"), root).route(prefix, get(redirect)),
        }
    }
}

async fn serve(directory: Arc<Directory>, request: Request) -> Response {
    let path: Box<str> = request.param("path").unwrap_or_default().into();
    let head = request.head().clone();
    let label = directory.root.join(&*path);
    respond(label, move || match directory.locate(&path, &head)? {
        Some(Located { opened, path, encoding }) => {
            FileResponse::new(opened, &path, encoding, &head)
        }
        None => Ok(FileResponse::redirect_to_slash(&head)),
    })
    .await
}

async fn redirect(request: Request) -> Response {
    FileResponse::redirect_to_slash(request.head()).into_response()
}
