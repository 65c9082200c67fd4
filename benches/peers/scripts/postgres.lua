-- The names of 1,000 users in turn.
local requests = {}
local turn = 0

function init()
  for id = 1, 1000 do
    requests[id] = wrk.format("GET", "/users/" .. id)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
