"""One name per sampler: A1111's, as people know them."""

SCHEDULES = ("Karras", "Exponential", "Polyexponential", "SGM Uniform", "KL Optimal", "Align Your Steps",
             "Simple", "Normal", "DDIM", "Beta", "Uniform", "Turbo")  # fmt: skip

# ComfyUI's names; SwarmUI and Fooocus use the same. "_gpu" and "_cfg_pp" are taken off first.
_COMFYUI = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "heunpp2": "Heun++ 2",
    "dpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a", "lms": "LMS", "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive", "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m": "DPM++ 2M", "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE",
    "ddpm": "DDPM", "lcm": "LCM", "ddim": "DDIM", "uni_pc": "UniPC", "uni_pc_bh2": "UniPC",
    "ipndm": "IPNDM", "deis": "DEIS", "restart": "Restart", "tcd": "TCD",
}  # fmt: skip
_COMFYUI_SCHEDULES = {"karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform",
                      "beta": "Beta", "kl_optimal": "KL Optimal"}  # fmt: skip

# InvokeAI marks a Karras schedule with the ending "_k".
_INVOKEAI = {
    "euler_a": "Euler a", "unipc": "UniPC", "dpmpp_2s": "DPM++ 2S", "kdpm_2": "DPM2", "kdpm_2_a": "DPM2 a",
    "pndm": "PNDM", "dpmpp_2m": "DPM++ 2M", "k_euler": "Euler", "k_euler_a": "Euler a", "k_lms": "LMS",
    "k_heun": "Heun", "k_dpm_2": "DPM2", "k_dpm_2_a": "DPM2 a", "k_dpmpp_2": "DPM++ 2M", "plms": "PLMS",
    "lcm": "LCM", "tcd": "TCD", "ddim": "DDIM", "ddpm": "DDPM", "deis": "DEIS",
}  # fmt: skip


def split_schedule(name: str) -> tuple[str, str]:
    """("DPM++ 2M", "Karras") of "DPM++ 2M Karras", the two settings that A1111 1.9 and later writes."""
    for schedule in SCHEDULES:
        sampler = name.removesuffix(f" {schedule}")
        if sampler != name and sampler:
            return sampler, schedule
    return name, ""


def join_schedule(sampler: str, schedule: str) -> str:
    if not sampler or schedule in ("", "Automatic") or sampler.endswith(f" {schedule}"):
        return sampler
    return f"{sampler} {schedule}"


def from_comfyui(sampler: str, schedule: str) -> str:
    plain = sampler.removesuffix("_gpu").removesuffix("_cfg_pp")
    return join_schedule(_COMFYUI.get(plain, sampler), _COMFYUI_SCHEDULES.get(schedule, ""))


def from_invokeai(scheduler: str) -> str:
    plain = scheduler.removesuffix("_k") if scheduler not in _INVOKEAI else scheduler
    name = _INVOKEAI.get(plain) or _COMFYUI.get(plain, plain)
    return join_schedule(name, "Karras") if plain != scheduler else name
