-- Requests the paths listed in the file given as the first argument in turn, and prints one line of figures.
local requests, position = {}, 0

function init(arguments)
   for path in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("GET", path)
   end
end

function request()
   position = position % #requests + 1
   return requests[position]
end

function done(summary, latency, _)
   local errors = summary.errors
   local socket_errors = errors.connect + errors.read + errors.write + errors.timeout
   local line = "figures %d %d %d %d %d %.0f %.0f\n"
   io.write(line:format(summary.requests, summary.duration, summary.bytes, errors.status, socket_errors,
                        latency:percentile(50), latency:percentile(99)))
end
