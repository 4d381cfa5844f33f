-- The client's side: where the player is and what it looks at, once a frame, in step with the picture.
-- It writes to the log, since what it prints appears on the screen.

local function looked_at(eye)
    local camera = minetest.camera
    local far = vector.add(eye, vector.multiply(camera:get_look_dir(), 5))
    for thing in minetest.raycast(eye, far, false, false) do
        if thing.type == "node" then
            local node = minetest.get_node_or_nil(thing.under)
            local at = thing.intersection_point or thing.under
            return node and node.name or "unknown", vector.distance(eye, at)
        end
    end
    return "none", -1
end

minetest.register_globalstep(function()
    local player, camera = minetest.localplayer, minetest.camera
    if not player or not camera then return end
    local at = player:get_pos()
    local eye = vector.add(at, { x = 0, y = 1.625, z = 0 })
    local node, distance = looked_at(eye)
    minetest.log("action", string.format("C %.4f %.4f %.4f %.4f %.4f %d %d %.6f %.3f %s", at.x, at.y, at.z,
        math.deg(camera:get_look_horizontal()), math.deg(camera:get_look_vertical()), player:get_hp(),
        player:get_wield_index(), minetest.get_timeofday(), distance, node))
end)
