-- wrk's load: the bodies of a file, one a line, in turn, by one connection or several. Behind "--": the file, the mean
-- of a connection's pauses in milliseconds (exponential; 0: none), then headers.
local requests, next_request = {}, 0

function init(arguments)
  local headers, pause_ms = {}, tonumber(arguments[2])
  if pause_ms > 0 then
    math.randomseed(1)
    function delay()
      return math.floor(-pause_ms * math.log(1 - math.random()))
    end
  end
  for i = 3, #arguments do
    local name, value = arguments[i]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency, all)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"requests":%d,"seconds":%f,"failed":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9)))
end
