-- Sixteen requests in one write.
local batch

function init()
  local requests = {}
  for each = 1, 16 do
    requests[each] = wrk.format("GET", "/")
  end
  batch = table.concat(requests)
end

function request()
  return batch
end
