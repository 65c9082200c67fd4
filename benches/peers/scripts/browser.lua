-- A browser's requests: 12 headers, about 900 bytes, over four routes that have parameters.
local paths = {
  "/users/ada",
  "/users/ada/posts",
  "/users/ada/posts/1815",
  "/orgs/rust-lang/repos/cargo/issues/4242",
}
local headers = {
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
  ["Accept-Language"] = "en-US,en;q=0.8,de-DE;q=0.5,de;q=0.3",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Referer"] = "http://127.0.0.1/orgs/rust-lang/repos/cargo/issues?state=open&sort=updated",
  ["Connection"] = "keep-alive",
  ["Cookie"] = "session=" .. string.rep("0123456789abcdef", 18) .. "; theme=dark; tz=UTC",
  ["Upgrade-Insecure-Requests"] = "1",
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-Site"] = "same-origin",
}
local requests = {}
local turn = 0

function init()
  for each, path in ipairs(paths) do
    requests[each] = wrk.format("GET", path, headers) -- and wrk adds Host, the twelfth
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
