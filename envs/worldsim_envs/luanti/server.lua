-- The server's side: sets the player down where a seed says, tells what happened, and what only a server knows.
-- It logs lines that begin with "S "; the client's side prints where the player is and what it sees.

local path = minetest.get_worldpath() .. "/command.txt"
local map = dofile(minetest.get_modpath("worldsim") .. "/map.lua")
local bar = {
    "default:pick_diamond", "default:shovel_diamond", "default:cobble", "default:wood", "default:glass",
    "default:torch", "default:sandstonebrick", "wool:red",
}
local last_command, place = "", ""

local function say(...) minetest.log("action", "S " .. string.format(...)) end

local function fill(player)
    local inventory = player:get_inventory()
    for i, name in ipairs(bar) do
        local stack = ItemStack(name)
        if minetest.registered_nodes[name] then stack:set_count(99) end
        inventory:set_stack("main", i, stack)
    end
end

-- Every hand and tool takes any block in a fraction of a second, and is never worn.
local quick = { full_punch_interval = 0.5, max_drop_level = 3, damage_groups = { fleshy = 1 }, groupcaps = {} }
for _, group in ipairs({ "cracky", "crumbly", "snappy", "choppy", "oddly_breakable_by_hand", "dig_immediate" }) do
    quick.groupcaps[group] = { times = { [1] = 0.5, [2] = 0.4, [3] = 0.3 }, uses = 0, maxlevel = 3 }
end
minetest.register_on_mods_loaded(function()
    for _, name in ipairs({ "", "default:pick_diamond", "default:shovel_diamond" }) do
        minetest.override_item(name, { tool_capabilities = quick, range = 5 })
    end
end)
function minetest.handle_node_drops() end -- what is dug is gone

-- Free to stand in: air and plants, no water.
local function is_free(pos)
    local node = minetest.registered_nodes[minetest.get_node(pos).name]
    return node and not node.walkable and node.liquidtype == "none" and node.name ~= "ignore"
end

-- The height to stand at in a column: open ground below, two free blocks above; trees do not count as ground.
local function find_ground(x, y, z)
    for height = y + 30, y - 11, -1 do
        local name = minetest.get_node({ x = x, y = height - 1, z = z }).name
        local node = minetest.registered_nodes[name]
        local is_tree = name:find("leaves") or name:find("tree") or name:find("needles")
        if node and node.liquidtype ~= "none" then return nil end
        if node and node.walkable and not is_tree then
            local clear = is_free({ x = x, y = height, z = z }) and is_free({ x = x, y = height + 1, z = z })
            return clear and height or nil
        end
    end
end

local skies = {
    clear = { type = "regular", clouds = false },
    overcast = { type = "plain", base_color = "#7c858c", clouds = false },
}

local function stand(name, spot, height, seed, yaw, pitch)
    local player = minetest.get_player_by_name(name)
    player:set_pos({ x = spot.x, y = height - 0.49, z = spot.z })
    player:set_look_horizontal(math.rad(yaw))
    player:set_look_vertical(math.rad(pitch))
    player:set_physics_override({ speed = 1, gravity = 1 })
    fill(player)
    place = ""
    say("placed %d", seed)
end

local function set_down(player, seed, yaw, pitch, time, sky)
    local name, random, tries = player:get_player_name(), PcgRandom(seed), 0
    player:set_hp(20)
    player:set_breath(11)
    minetest.set_timeofday(time)
    player:set_sky(skies[sky])
    player:set_sun({ visible = sky == "clear", sunrise_visible = sky == "clear" })
    player:set_physics_override({ speed = 1, gravity = 0 })
    local function try()
        local spot = map.next_spot(random)
        local low, high = vector.subtract(spot, { x = 24, y = 12, z = 24 }), vector.add(spot, { x = 24, y = 32, z = 24 })
        tries = tries + 1
        minetest.emerge_area(low, high, function(_, _, remaining)
            if remaining > 0 or not minetest.get_player_by_name(name) then return end
            local height = find_ground(spot.x, spot.y, spot.z)
            if height or tries > 20 then return stand(name, spot, height or spot.y, seed, yaw, pitch) end
            minetest.after(0, try)
        end)
    end
    try()
end

local function read_command()
    local file = io.open(path, "r")
    local text = file and file:read("*a") or ""
    if file then file:close() end
    return text
end

minetest.register_globalstep(function()
    local player = minetest.get_connected_players()[1]
    if not player then return end
    local text = read_command()
    if text ~= last_command then
        last_command = text
        local seed, yaw, pitch, time, speed, sky = text:match("^reset (%d+) (%S+) (%S+) (%S+) (%S+) (%a+)\n")
        if seed then
            minetest.settings:set("time_speed", speed)
            set_down(player, tonumber(seed), tonumber(yaw), tonumber(pitch), tonumber(time), sky)
        end
    end
    local now = map.place_at(player:get_pos())
    if now ~= place then
        place = now
        say("place %s", now)
    end
end)

minetest.register_on_dignode(function(_, node, digger)
    if digger then say("dug %s", node.name) end
end)
minetest.register_on_placenode(function(_, node, placer)
    if placer and placer:is_player() then
        fill(placer)
        say("built %s", node.name)
    end
end)
minetest.register_on_joinplayer(function(player)
    player:hud_set_flags({ hotbar = false, healthbar = false, breathbar = false, minimap = false, wielditem = true })
    player:set_hp(20)
    fill(player)
    say("joined")
end)
-- The last hit point stays, so that no dialogue comes up: the episode is over, and the next reset heals.
minetest.register_on_player_hpchange(function(player, change)
    if change < 0 then
        local died = player:get_hp() + change <= 0
        say("%s %d", died and "died" or "hurt", -change)
        if died then return math.min(0, 1 - player:get_hp()) end
    end
    return change
end, true)
