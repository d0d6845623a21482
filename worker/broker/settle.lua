-- Settle messages that were fetched: "ack" forgets them, "requeue" puts them back, "bury" moves them
-- to dramatiq's dead letters.
--
-- KEYS: namespace
-- ARGV: queue, broker id, verb, ids ...
--
-- `srem` first: it tells whether the message is still ours, and a full Redis lets it pass.

local list = KEYS[1] .. ":" .. ARGV[1]
local bodies = list .. ".msgs"
local acks = KEYS[1] .. ":__acks__." .. ARGV[2] .. "." .. ARGV[1]
local verb = ARGV[3]

for i = 4, #ARGV do
    local id = ARGV[i]
    if redis.call("srem", acks, id) == 1 then
        local body = verb ~= "ack" and redis.call("hget", bodies, id)
        if verb == "requeue" then
            if body then
                redis.call("rpush", list, id)
            end
        else
            if body then
                redis.call("zadd", list .. ".XQ", redis.call("time")[1] * 1000, id)
                redis.call("hset", list .. ".XQ.msgs", id, body)
            end
            redis.call("hdel", bodies, id)
        end
    end
end
