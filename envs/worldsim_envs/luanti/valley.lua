-- One valley of 96 by 96 blocks, the same for the same map seed: meadow in the south-west, forest in the north-west,
-- snow in the north-east and desert in the south-east, around a lake. Cliffs end it in the north and west, the sea in
-- the south and east. Each part has a landmark that looks different from each side, and lamps along the paths to it.

local HALF, EDGE, SEA = 48, 51, 1 -- blocks from the middle; the height of water
local LAKE, RING = 11, 16 -- radius of the lake, and of the path around it
local SITES = {
    house = { x = -26, z = -26, height = 6, radius = 6 },
    stones = { x = -26, z = 26, height = 7, radius = 7 },
    cave = { x = 30, z = 30, radius = 9 },
    tower = { x = 26, z = -26, height = 6, radius = 5 },
}
local PARTS = { { "meadow", "desert" }, { "forest", "snow" } } -- south and north, each west and east

minetest.register_node("worldsim:edge", {
    drawtype = "airlike", paramtype = "light", sunlight_propagates = true, pointable = false, diggable = false,
})

local seed = tonumber(tostring(minetest.get_mapgen_setting("seed")):sub(-6)) or 0
local function noise(number, spread)
    local params = { offset = 0, scale = 1, spread = { x = spread, y = spread, z = spread }, octaves = 2 }
    params.seed, params.persist, params.lacunarity = seed + number, 0.5, 2
    local perlin = PerlinNoise(params)
    return function(x, z) return perlin:get_2d({ x = x, y = z }) end
end
local hills, dunes = noise(1, 22), noise(2, 12)

local function smooth(x) -- 0 below 0, 1 above 1
    x = math.max(0, math.min(1, x))
    return x * x * (3 - 2 * x)
end
local function mix(a, b, share) return a + (b - a) * share end

local function part_of(x, z) return PARTS[z >= 0 and 2 or 1][x >= 0 and 2 or 1] end

local function height_at(x, z)
    local east, north = smooth((x + 6) / 12), smooth((z + 6) / 12)
    local hill, from_cave = hills(x, z), math.sqrt((x - 33) ^ 2 + (z - 33) ^ 2)
    local south = mix(5.5 + 1.2 * hill, 5.5 + 1.8 * dunes(x, z), east)
    local snow = 6.5 + 2 * hill + 11 * smooth((17 - from_cave) / 12)
    local height = mix(south, mix(6.5 + 2.2 * hill, snow, east), north)
    height = mix(height, SEA - 3, smooth((LAKE + 3 - math.sqrt(x * x + z * z)) / 5))
    for _, site in pairs(SITES) do
        local off = math.max(math.abs(x - site.x), math.abs(z - site.z))
        if site.height then height = mix(height, site.height, smooth((site.radius + 4 - off) / 4)) end
    end
    height = mix(height, SEA - 3, smooth((math.max(x, -z) - 41) / 6))
    return math.floor(height + 13 * smooth((math.max(-x, z) - 42) / 3) + 0.5)
end

-- What stands on the ground or is carved out of it, by position: drawn once, put down wherever the map is made.
local blocks = {}
local function key(x, y, z) return x * 1000000 + y * 1000 + z end
local function put(x, y, z, name) blocks[key(x, y, z)] = name end

local function build_house()
    local site, sides = SITES.house, { "wool:blue", "wool:red", "wool:yellow", "wool:white" } -- north south east west
    for x = -4, 4 do
        for z = -4, 4 do
            local off, floor = math.max(math.abs(x), math.abs(z)), site.height
            put(site.x + x, floor, site.z + z, "default:cobble")
            for y = 1, 4 do
                local name = off == 4 and "default:wood" or "air"
                if off == 4 and math.abs(x) == 4 and math.abs(z) == 4 then name = "default:tree" end
                if off == 4 and y == 4 then
                    name = z == 4 and sides[1] or z == -4 and sides[2] or x == 4 and sides[3] or sides[4]
                end
                if y == 2 and (math.abs(x) == 2 or math.abs(z) == 2) and off == 4 then name = "default:glass" end
                if z == -4 and x == 0 and y < 4 then name = "air" end -- the door, to the south
                put(site.x + x, floor + y, site.z + z, name)
            end
            put(site.x + x, floor + 9 - off, site.z + z, "default:junglewood")
        end
    end
    put(site.x, site.height + 4, site.z, "default:meselamp")
    put(site.x - 1, site.height + 3, site.z - 5, "default:meselamp")
end

local function build_tower()
    local site, top = SITES.tower, 13
    for x = -2, 2 do
        for z = -2, 2 do
            local is_wall = math.max(math.abs(x), math.abs(z)) == 2
            for y = 0, top do
                local name = is_wall and "default:sandstonebrick" or y == top - 1 and "default:wood" or "air"
                if is_wall and y >= 5 and y <= 7 then
                    name = z == 2 and "wool:blue" or z == -2 and "wool:red" or x == 2 and "wool:yellow" or "wool:white"
                end
                if is_wall and y == top and (x + z) % 2 == 1 then name = "air" end
                if x == 0 and z == 2 and (y == 1 or y == 2) then name = "air" end -- the door, to the north
                put(site.x + x, site.height + y, site.z + z, name)
            end
        end
    end
    for _, x in ipairs({ -2, 2 }) do
        for _, z in ipairs({ -2, 2 }) do put(site.x + x, site.height + top + 1, site.z + z, "default:meselamp") end
    end
end

local function build_stones() -- a ring of eight, the next one always higher
    local site = SITES.stones
    for i = 0, 7 do
        local angle = i * math.pi / 4
        local x, z = math.floor(site.x + 5.5 * math.sin(angle) + 0.5), math.floor(site.z + 5.5 * math.cos(angle) + 0.5)
        for y = 1, 2 + i do put(x, site.height + y, z, i % 2 == 0 and "default:stone" or "default:mossycobble") end
        if i % 4 == 0 then put(x, site.height + 3 + i, z, "default:meselamp") end
    end
    put(site.x, site.height + 1, site.z, "default:goldblock")
end

local function carve_cave() -- from the lake's side into the mountain
    local floor = height_at(17, 17)
    for step = 0, 15 do
        local x = 18 + step
        for side = -2, 2 do
            for y = 1, 4 do
                if math.abs(side) + y < 6 and math.abs(side) < 2 + (step < 9 and 0 or 1) then
                    put(x, floor + y, x + side, "air")
                    put(x + 1, floor + y, x + side, "air")
                end
            end
        end
        if step % 5 == 3 then put(x, floor + 2, x - 3, "default:meselamp") end
        if step > 10 then put(x, floor + 1, x + 2, "default:ice") end
    end
end

local function grow(x, z, part, random)
    local floor = height_at(x, z)
    if part == "forest" then
        local tall = random:next(4, 6)
        for dx = -2, 2 do
            for dz = -2, 2 do
                for dy = -1, 2 do
                    if dx * dx + dz * dz + dy * dy < 6 then put(x + dx, floor + tall + dy, z + dz, "default:leaves") end
                end
            end
        end
        for y = 1, tall do put(x, floor + y, z, "default:tree") end
    elseif part == "snow" then
        local tall = random:next(6, 8)
        for y = 3, tall + 1 do
            local reach = math.floor((tall + 2 - y) / 2)
            for dx = -reach, reach do
                for dz = -reach, reach do
                    if math.abs(dx) + math.abs(dz) <= reach then
                        put(x + dx, floor + y, z + dz, "default:pine_needles")
                    end
                end
            end
        end
        for y = 1, tall do put(x, floor + y, z, "default:pine_tree") end
    elseif part == "desert" then
        for y = 1, random:next(2, 4) do put(x, floor + y, z, "default:cactus") end
    else
        local flowers = { "flowers:rose", "flowers:dandelion_yellow", "flowers:geranium", "default:grass_4" }
        put(x, floor + 1, z, flowers[random:next(1, #flowers)])
    end
end

-- Whether a column is on a path: around the lake, and from there to each landmark.
local function is_path(x, z)
    local off = math.sqrt(x * x + z * z)
    return math.abs(off - RING) < 1.1 or (off > RING and off < 29 and math.abs(math.abs(x) - math.abs(z)) < 2)
end

local function is_built(x, z)
    for _, site in pairs(SITES) do
        if math.max(math.abs(x - site.x), math.abs(z - site.z)) <= site.radius then return true end
    end
    return false
end

local function plant()
    local random, apart = PcgRandom(seed + 3), { forest = 5, snow = 8, desert = 8, meadow = 3 }
    for x = -HALF + 6, HALF - 9, 1 do
        for z = -HALF + 9, HALF - 6, 1 do
            local part = part_of(x, z)
            local is_turn = random:next(1, apart[part] ^ 2) == 1
            local is_land = height_at(x, z) > SEA + 1
            if is_turn and is_land and not is_built(x, z) and not is_path(x, z) then grow(x, z, part, random) end
        end
    end
    for i = 0, 7 do
        local angle = (i + 0.5) * math.pi / 4
        local x, z = math.floor((RING + 2) * math.sin(angle) + 0.5), math.floor((RING + 2) * math.cos(angle) + 0.5)
        local floor = height_at(x, z)
        for y = 1, 2 do put(x, floor + y, z, "default:fence_wood") end
        put(x, floor + 3, z, "default:meselamp")
    end
end

build_house()
build_tower()
build_stones()
carve_cave()
plant()

local SURFACE = {
    meadow = "default:dirt_with_grass", forest = "default:dirt_with_coniferous_litter",
    desert = "default:desert_sand", snow = "default:dirt_with_snow",
}
local FILLER = { meadow = "default:dirt", forest = "default:dirt", desert = "default:desert_stone", snow = "default:dirt" }

local function ground(x, y, z, height)
    local part, is_cliff = part_of(x, z), math.max(-x, z) > 42
    if y > height then return y <= SEA and "default:water_source" or "air" end
    if y < height - 2 then return "default:stone" end
    if height <= SEA + 1 then return "default:sand" end
    if is_cliff and part ~= "snow" then return "default:stone" end
    if y < height then return FILLER[part] end
    if is_path(x, z) then return "default:gravel" end
    if part == "snow" and height > 11 then return "default:snowblock" end
    return SURFACE[part]
end

local function name_at(x, y, z, height)
    local edge = math.max(math.abs(x), math.abs(z))
    if edge == EDGE and y > height - 1 and y < 40 then return "worldsim:edge" end
    return blocks[key(x, y, z)] or ground(x, y, z, height)
end

local ids = {}
local function id_of(name)
    ids[name] = ids[name] or minetest.get_content_id(name)
    return ids[name]
end

minetest.register_on_generated(function(low, high)
    local manip, from, to = minetest.get_mapgen_object("voxelmanip")
    local area, data = VoxelArea:new({ MinEdge = from, MaxEdge = to }), manip:get_data()
    for z = low.z, high.z do
        for x = low.x, high.x do
            local height = height_at(x, z)
            for y = low.y, high.y do data[area:index(x, y, z)] = id_of(name_at(x, y, z, height)) end
        end
    end
    manip:set_data(data)
    manip:calc_lighting()
    manip:write_to_map()
end)

local function next_spot(random)
    for _ = 1, 1000 do
        local x, z = random:next(-HALF + 7, HALF - 8), random:next(-HALF + 8, HALF - 7)
        local height = height_at(x, z)
        if height > SEA + 1 and not is_built(x, z) then return { x = x, y = height + 1, z = z } end
    end
    return { x = 0, y = 20, z = RING }
end

-- The landmark that is near, else the lake, else which part of the valley it is.
local function place_at(pos)
    for name, site in pairs(SITES) do
        if math.max(math.abs(pos.x - site.x), math.abs(pos.z - site.z)) <= site.radius + 3 then return name end
    end
    if math.sqrt(pos.x ^ 2 + pos.z ^ 2) < RING + 2 then return "lake" end
    return part_of(pos.x, pos.z)
end

return { next_spot = next_spot, place_at = place_at }
