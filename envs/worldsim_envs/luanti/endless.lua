-- One endless map: spots on land within 20,000 blocks of the middle, and the biomes of the map's generator.

local range = 20000

-- The next spot of a seed's sequence where the generator says that land is, before it is made. Rainforests are left
-- out: their leaves take a software renderer twenty times as long as anything else.
local function next_spot(random)
    for _ = 1, 1000 do
        local x, z = random:next(-range, range), random:next(-range, range)
        local y = minetest.get_spawn_level(x, z)
        local spot = { x = x, y = y, z = z }
        if y and not minetest.get_biome_name(minetest.get_biome_data(spot).biome):find("^rainforest") then
            return spot
        end
    end
    return { x = 0, y = 20, z = 0 }
end

local function place_at(pos)
    local data = minetest.get_biome_data(pos)
    return data and minetest.get_biome_name(data.biome) or "unknown"
end

return { next_spot = next_spot, place_at = place_at }
