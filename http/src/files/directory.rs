//! Serves the files below a directory.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brigade_runtime::time;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::files::cache::{CacheOptions, FileCache};
use crate::files::kernel::Root;
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
/// For how long the directory that was found at the path of the root is used. It is opened again
/// after that, because the path may lead to another directory.
const ROOT_AGE_MAX: Duration = Duration::from_secs(1);

/// A directory to serve, with options; for [`Router::files`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Directory {
    root: PathBuf,
    index: Option<String>,
    dotfiles: bool,
    outside_links: bool,
    precompressed: bool,
    cache: Option<CacheOptions>,
    step_by_step: bool,
}

/// A name in a directory.
#[derive(Clone)]
struct Wanted {
    /// Relative to the directory, without `.` and `..`.
    name: PathBuf,
    /// If it is that of a directory, its path gets a slash.
    may_redirect: bool,
}

/// A file in a directory.
struct Found {
    opened: OpenFile,
    /// Where symbolic links lead to, if they were followed.
    path: Option<PathBuf>,
}

impl Directory {
    /// Creates options for the directory at `root`: without an index, without names that begin with
    /// a dot, and without symbolic links that lead out of the directory. `root` may be a link that
    /// changes: each loop resolves it once a second, while there are requests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            index: None,
            dotfiles: false,
            outside_links: false,
            precompressed: false,
            cache: None,
            step_by_step: false,
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

    /// Keeps small files in memory, of at most 32 KiB each and about `bytes_max` bytes in total.
    /// Off by default, as the system keeps files in memory as well: this saves the calls that open
    /// and read a file.
    ///
    /// A file is looked at again when `fresh_for` has passed since the last time. Until then a file
    /// that has changed is sent in its earlier version, and one that was removed is still sent;
    /// with `Duration::ZERO` never. Each loop has a cache of its own, so two responses of one
    /// server may be of different versions for that long. Files that are reached through symbolic
    /// links are not kept, nor are those that have changed just now.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use brigade_http::Directory;
    ///
    /// let directory = Directory::new("public").cache(64 << 20, Duration::from_secs(1));
    /// ```
    pub fn cache(mut self, bytes_max: usize, fresh_for: Duration) -> Self {
        self.cache = Some(CacheOptions { bytes_max, fresh_for });
        self
    }

    /// Looks at each part of a path on its own, also where the kernel could do that in one step, as
    /// on systems where it cannot. For tests.
    #[doc(hidden)]
    pub fn step_by_step(mut self) -> Self {
        self.step_by_step = true;
        self
    }

    /// Returns what is wanted for `path`, which is percent-encoded and relative to the directory.
    ///
    /// # Errors
    /// `NotFound` if no file may have such a path.
    fn wanted(&self, path: &str) -> io::Result<Wanted> {
        let mut name = PathBuf::new();
        // Without a path the directory itself is wanted. Otherwise an empty segment names nothing.
        let has_slash = path.is_empty() || path.ends_with('/');
        if !path.is_empty() {
            for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
                name.push(&*self.name(segment)?);
            }
        }
        match &self.index {
            Some(index) if has_slash => name.push(index),
            None if has_slash => return Err(io::ErrorKind::NotFound.into()),
            _ => {}
        }
        Ok(Wanted { name, may_redirect: !has_slash && self.index.is_some() })
    }

    /// Finds the file to send with `open`, which opens a name in the directory. Returns a redirect
    /// if it is a directory, whose path has to end in a slash.
    ///
    /// # Errors
    /// `NotFound` if the file may not be served, and the errors of `open`.
    fn prepare(
        &self,
        wanted: &Wanted,
        head: &RequestHead,
        open: impl Fn(&Path) -> io::Result<Found>,
    ) -> io::Result<FileResponse> {
        let Found { opened, path } = match open(&wanted.name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory && wanted.may_redirect => {
                return Ok(FileResponse::redirect_to_slash(head));
            }
            found => found?,
        };
        let path = path.as_deref().unwrap_or(&wanted.name);
        let compressed = match self.precompressed {
            true => compressed(&wanted.name, head, open)?,
            false => None,
        };
        Ok(match compressed {
            Some((opened, coding)) => {
                FileResponse::new(opened, path, Encoding::Coded(coding), head)
            }
            None if self.precompressed => FileResponse::new(opened, path, Encoding::Plain, head),
            None => FileResponse::new(opened, path, Encoding::Only, head),
        })
    }

    /// Opens `name` in the directory, below `root` where the kernel can do that. Blocks.
    ///
    /// # Errors
    /// `NotFound` if it may not be served, and the errors of open(2).
    fn open(&self, root: Option<&Root>, name: &Path) -> io::Result<Found> {
        match root.map(|root| root.file(name)) {
            Some(Ok(file)) => Ok(Found { opened: OpenFile::new(file)?, path: None }),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(error),
            // There may be a symbolic link, or a directory that must not be read.
            Some(Err(_)) | None => self.walk(name),
        }
    }

    /// Opens `name` in the directory after looking at each part of its path. Blocks.
    fn walk(&self, name: &Path) -> io::Result<Found> {
        let wanted = self.root.join(name);
        for _ in 0..OPEN_ATTEMPTS_MAX {
            let found = self.resolve(&wanted)?;
            if fs::metadata(&found)?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if let Some(opened) = open_resolved(&found)? {
                return Ok(Found { opened, path: Some(found) });
            }
        }
        Err(io::ErrorKind::NotFound.into())
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

/// Opens the file beside `name` that contains the same, compressed in the way that the client likes
/// best.
fn compressed(
    name: &Path,
    head: &RequestHead,
    open: impl Fn(&Path) -> io::Result<Found>,
) -> io::Result<Option<(OpenFile, ContentCoding)>> {
    let mut offered = ContentCoding::ALL.to_vec();
    while let Some(coding) = ContentCoding::negotiate(head, offered.iter().copied()) {
        let mut path = name.as_os_str().to_owned();
        path.push(extension(coding));
        match open(Path::new(&path)) {
            Ok(found) => return Ok(Some((found.opened, coding))),
            Err(error) if is_no_file(&error) => {}
            Err(error) => return Err(error),
        }
        offered.retain(|known| *known != coding);
    }
    Ok(None)
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

/// A directory as one loop serves it.
struct Served {
    directory: Arc<Directory>,
    root: Arc<Mutex<Option<KnownRoot>>>,
    cache: Option<RefCell<FileCache>>,
}

/// The directory, opened.
struct KnownRoot {
    root: Arc<Root>,
    since: Instant,
}

impl Served {
    fn new(directory: Directory) -> Self {
        let cache = directory.cache.map(|options| RefCell::new(FileCache::new(options)));
        Self { directory: Arc::new(directory), root: Arc::default(), cache }
    }

    /// Prepares a response without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if that is not possible, and the errors of [`Directory::prepare`].
    fn prepare_now(&self, wanted: &Wanted, head: &RequestHead) -> io::Result<FileResponse> {
        let root = self.root_now().ok_or(io::ErrorKind::WouldBlock)?;
        self.directory.prepare(wanted, head, |name| {
            let open = || OpenFile::new(root.file_now(name)?);
            let opened = match &self.cache {
                Some(cache) => cache.borrow_mut().open(name, time::now(), open)?,
                None => open()?,
            };
            Ok(Found { opened, path: None })
        })
    }

    /// Returns the opened directory, unless opening it may wait.
    fn root_now(&self) -> Option<Arc<Root>> {
        if self.directory.step_by_step {
            return None;
        }
        let now = time::now();
        let mut known = lock(&self.root);
        match &*known {
            Some(known) if known.is_fresh(now) => Some(known.root.clone()),
            _ => {
                let root = Arc::new(Root::open_now(&self.directory.root)?);
                *known = Some(KnownRoot { root: root.clone(), since: now });
                Some(root)
            }
        }
    }

    /// Returns a function that prepares a response, for a thread.
    fn prepare_blocking(
        &self,
        wanted: &Wanted,
        head: &RequestHead,
    ) -> impl FnOnce() -> io::Result<FileResponse> + Send + 'static {
        let (directory, root) = (self.directory.clone(), self.root.clone());
        let (wanted, head, now) = (wanted.clone(), head.clone(), time::now());
        move || {
            let root = match directory.step_by_step {
                true => None,
                false => opened(&directory.root, &root, now)?,
            };
            directory.prepare(&wanted, &head, |name| directory.open(root.as_deref(), name))
        }
    }
}

impl KnownRoot {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < ROOT_AGE_MAX
    }
}

/// Returns the opened directory, or `None` if the kernel cannot find names below it. Blocks.
fn opened(
    path: &Path,
    known: &Mutex<Option<KnownRoot>>,
    now: Instant,
) -> io::Result<Option<Arc<Root>>> {
    if let Some(known) = lock(known).as_ref().filter(|known| known.is_fresh(now)) {
        return Ok(Some(known.root.clone()));
    }
    let Some(root) = Root::open(path)?.map(Arc::new) else { return Ok(None) };
    *lock(known) = Some(KnownRoot { root: root.clone(), since: now });
    Ok(Some(root))
}

/// Nothing that is done while it is locked leaves it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let served = Rc::new(Served::new(directory));
        let at_root = served.clone();
        let below = get(move |request| serve(served.clone(), request));
        let root = get(move |request| serve(at_root.clone(), request));
        let router = self.route(&format!("{prefix}/{{*path}}"), below);
        match prefix {
            "" => router.root(root, get(redirect)),
            prefix => router.route(&format!("{prefix}/"), root).route(prefix, get(redirect)),
        }
    }
}

async fn serve(served: Rc<Served>, request: Request) -> Response {
    let path = request.param("path").unwrap_or_default();
    let directory = &served.directory;
    let Ok(wanted) = directory.wanted(path) else {
        return Response::plain(StatusCode::NOT_FOUND, "");
    };
    let label = || directory.root.join(&wanted.name);
    let prepared = served.prepare_now(&wanted, request.head());
    respond(&request, label, prepared, || served.prepare_blocking(&wanted, request.head())).await
}

async fn redirect(request: Request) -> Response {
    FileResponse::redirect_to_slash(request.head()).into_response()
}
