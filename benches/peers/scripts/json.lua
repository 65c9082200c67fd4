-- Fifty items as JSON.
wrk.path = "/json"
