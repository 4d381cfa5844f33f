"""Agents that learn inside the dream and are scored in the real game.

From below: `policy` (a recurrent actor-critic on latents), `imagine` (dreams under it), `objective` (what makes it
better), `learn` (from footage and a world to an agent), `bundle` (an agent on disk), `score` (the real game's verdict),
`dyna` (world and agent by turns, on what the agent plays).
"""

from worldsim.agent.bundle import Agent, load_agent, pilot, pilot_of, save_agent
from worldsim.agent.dyna import fit_online, record
from worldsim.agent.learn import AGENT, AgentConfig, fit_agent
from worldsim.agent.score import dream_return, score_agent, score_policy

__all__ = [
    "AGENT",
    "Agent",
    "AgentConfig",
    "dream_return",
    "fit_agent",
    "fit_online",
    "load_agent",
    "pilot",
    "pilot_of",
    "record",
    "save_agent",
    "score_agent",
    "score_policy",
]
