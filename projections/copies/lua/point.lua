-- move the pointer of those who read without the catalogue; a later swap's move is never undone
-- KEYS: pointer. ARGV: turn, number of the generation, root of the copy's keys.
local turn = redis.call('HGET', KEYS[1], 'turn')
if turn and tonumber(turn) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'turn', ARGV[1], 'generation', ARGV[2], 'root', ARGV[3])
return 1
