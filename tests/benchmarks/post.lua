-- SPDX-License-Identifier: MIT
-- A POST of the JSON that is the last argument after the address.
function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = args[#args]
end
