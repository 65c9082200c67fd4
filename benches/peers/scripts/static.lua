-- The 20 files of src/files.rs, one after the other.
local requests = {}
local turn = 0

function init()
  for each = 0, 19 do
    requests[each + 1] = wrk.format("GET", "/static/" .. each .. ".js")
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
