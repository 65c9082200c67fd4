//! Files below a directory, by the path of a request.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::files::answered;
use crate::files::response::FileAnswer;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::routing::method_router::get;
use crate::routing::router::Router;

/// A directory of files to be served, and how; for [`Router::files`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Directory {
    root: PathBuf,
    index: Option<String>,
    dotfiles: bool,
    outside_links: bool,
}

impl Directory {
    /// The directory at `root`, with neither index nor names that begin with a dot, and without
    /// links that lead out of it. It is looked up at each request, so it may be a link that is
    /// set to another directory meanwhile.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), index: None, dotfiles: false, outside_links: false }
    }

    /// The file of this name, such as `index.html`, answers for the directory that it is in. A
    /// directory's path without the slash at its end is redirected to the one with it, so that
    /// links in the file lead where they are meant to.
    ///
    /// # Panics
    /// If it is no name of a file, but a path.
    pub fn index(mut self, name: &str) -> Self {
        assert!(is_name(name, true), "an index is a name within a directory: '{name}'");
        self.index = Some(name.to_owned());
        self
    }

    /// Serves names that begin with a dot too: `.well-known`, but also `.git` and `.env`.
    pub fn dotfiles(mut self) -> Self {
        self.dotfiles = true;
        self
    }

    /// Follows symbolic links wherever they lead.
    pub fn outside_links(mut self) -> Self {
        self.outside_links = true;
        self
    }

    /// What answers to `path`, percent-encoded, below the directory.
    ///
    /// # Errors
    /// `NotFound` for what may not be served, and those of the file system.
    fn locate(&self, path: &str) -> io::Result<Located> {
        let (path, is_directory) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, path.is_empty()),
        };
        let mut wanted = self.root.clone();
        for segment in path.split('/').filter(|_| !path.is_empty()) {
            wanted.push(&*self.name(segment)?);
        }
        let is_really = fs::metadata(&wanted)?.is_dir();
        match (&self.index, is_directory, is_really) {
            (_, false, false) => {}
            (Some(_), false, true) => return Ok(Located::Directory),
            (Some(index), true, true) => wanted.push(index),
            _ => return Err(io::ErrorKind::NotFound.into()),
        }
        if self.outside_links {
            return Ok(Located::File(wanted));
        }
        let found = fs::canonicalize(&wanted)?;
        match found.starts_with(fs::canonicalize(&self.root)?) {
            true => Ok(Located::File(found)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The name that a segment of a path stands for.
    fn name<'a>(&self, segment: &'a str) -> io::Result<Cow<'a, str>> {
        let name = percent_decode_str(segment).decode_utf8().ok();
        let name = name.filter(|name| is_name(name, self.dotfiles));
        name.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Whether `name` names something in a directory, and nothing elsewhere.
fn is_name(name: &str, may_be_hidden: bool) -> bool {
    let is_safe = !name.is_empty() && !name.contains(['/', '\\', '\0']);
    is_safe && name != "." && name != ".." && (may_be_hidden || !name.starts_with('.'))
}

enum Located {
    File(PathBuf),
    /// To be asked for with a slash at the end.
    Directory,
}

impl Router {
    /// Answers GET and HEAD below `prefix` with the files below a directory, as
    /// [`serve_file`](crate::serve_file) does, and with 404 where there is none. Directories are
    /// never listed.
    ///
    /// Each segment of a path is decoded by itself and has to be a name: one that is empty, `.`
    /// or `..`, holds a slash, a backslash or NUL in whatever encoding, or is not in UTF-8, names
    /// nothing. So does one that begins with a dot, and a file of which the path, with all
    /// symbolic links followed, is not below the directory, unless [`Directory`] is told
    /// otherwise. Whoever may change the directory while it is served could still put a link in
    /// place of a file between that check and the opening of it.
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
        let router = router.route(&format!("{prefix}/"), root);
        match prefix {
            "" => router,
            prefix => router.route(prefix, get(redirect)),
        }
    }
}

async fn serve(directory: Arc<Directory>, request: Request) -> Response {
    let path: Box<str> = request.param("path").unwrap_or_default().into();
    let head = request.head().clone();
    let label = directory.root.join(&*path);
    answered(label, move || match directory.locate(&path)? {
        Located::File(file) => FileAnswer::new(&file, &head),
        Located::Directory => Ok(FileAnswer::with_slash(&head)),
    })
    .await
}

async fn redirect(request: Request) -> Response {
    FileAnswer::with_slash(request.head()).into_response()
}
