"""Agents that train in a world's dreams and are scored in the real game.

In the order of their imports: `policy` (a recurrent actor-critic on latents), `objective` (its loss), `imagine` (its
rollouts in a world), `config` and `learn` (its training), `bundle` (an agent on disk), `score` (its returns in the real
game), `dyna` (training of world and agent by turns, on what the agent plays). `plan` plays without training: it
imagines a few plans and follows the best.
"""

from worldsim.agent.bundle import Agent, load_agent, load_policy, save_agent
from worldsim.agent.config import AGENT, AgentConfig
from worldsim.agent.dyna import fit_online, record_game
from worldsim.agent.learn import fit_agent
from worldsim.agent.plan import PLAN, PlanConfig, make_planner, plan_policy
from worldsim.agent.score import dream_return, score_agent, score_policy

__all__ = [
    "AGENT",
    "PLAN",
    "Agent",
    "AgentConfig",
    "PlanConfig",
    "dream_return",
    "fit_agent",
    "fit_online",
    "load_agent",
    "load_policy",
    "make_planner",
    "plan_policy",
    "record_game",
    "save_agent",
    "score_agent",
    "score_policy",
]
