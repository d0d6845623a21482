-- Take messages off a queue, say that this broker lives, and look after what dead ones left behind.
--
-- KEYS: namespace
-- ARGV: queue, broker id, how many, largest body, bytes to return of a larger one, bytes in all,
--       maintain (0 | 1), heartbeat time-out ms, dead letters' life ms, all queue names ...
-- Returns {id, length, body} for each message; body is false where the message has none.
--
-- The layout of the keys is dramatiq's (brokers/redis/dispatch.lua), so its producers, its other
-- workers and its tools see nothing unusual. What differs: ids come with their bodies; the time is
-- the server's (a client 8 days ahead emptied the dead letters); no KEYS (30 s of blocked Redis).

local namespace = KEYS[1]
local queue, broker = ARGV[1], ARGV[2]
local wanted, largest, excerpt, budget = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local heartbeats = namespace .. ":__heartbeats__"
local list = namespace .. ":" .. queue
local bodies = list .. ".msgs"

local function acks_of(owner, name)
    return namespace .. ":__acks__." .. owner .. "." .. name
end

local acks = acks_of(broker, queue)

-- A full Redis refuses a script whose *first* write could need memory. Removing nothing needs none
-- and opens the way for the rest, so a queue can be drained while nobody can fill it.
redis.call("srem", acks, "")

local time = redis.call("time")
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("zadd", heartbeats, now_ms, broker)

if ARGV[7] == "1" then
    for _, dead in ipairs(redis.call("zrangebyscore", heartbeats, 0, now_ms - ARGV[8])) do
        local left = acks_of(dead, queue)
        for _, id in ipairs(redis.call("smembers", left)) do
            if redis.call("hexists", bodies, id) == 1 then
                redis.call("rpush", list, id)
            end
        end
        redis.call("del", left)

        -- Forgotten once no queue that we know holds anything of it.
        local holds = false
        for i = 10, #ARGV do
            holds = holds or redis.call("exists", acks_of(dead, ARGV[i])) == 1
        end
        if not holds then
            redis.call("zrem", heartbeats, dead)
        end
    end

    local graves = list .. ".XQ"
    for _, id in ipairs(redis.call("zrangebyscore", graves, 0, now_ms - ARGV[9], "limit", 0, 100)) do
        redis.call("zrem", graves, id)
        redis.call("hdel", graves .. ".msgs", id)
    end
end

local taken = {}
while #taken < wanted and budget > 0 do
    local id = redis.call("lpop", list)
    if not id then
        break
    end
    local length = redis.call("hstrlen", bodies, id)
    local body = redis.call("hget", bodies, id)
    if body then
        redis.call("sadd", acks, id)
        if length > largest then
            body = string.sub(body, 1, excerpt)
        end
        budget = budget - #body
    end
    taken[#taken + 1] = {id, length, body}
end
return taken
