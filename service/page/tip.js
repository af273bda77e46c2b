// Explanations of what the pointer is over, or the focus on; Escape hides them.

const GAP_PX = 8;

/** Show what stands in `data-tip`, for all elements there are or will be. What is returned is to be called after a redraw. */
export function startTips(tip) {
  let owner = null;
  const draw = () => {
    tip.hidden = !owner?.isConnected || owner.dataset.tip === undefined;
    if (!tip.hidden) {
      tip.textContent = owner.dataset.tip;
      place(tip, owner.getBoundingClientRect());
    }
  };
  const show = (event) => {
    owner = event.target.closest?.("[data-tip]") ?? null;
    draw();
  };
  const hide = () => {
    owner = null;
    draw();
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", (event) => (event.target.matches(":focus-visible") ? show(event) : hide()));
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  return draw;
}

function place(tip, around) {
  const { width, height } = tip.getBoundingClientRect();
  const room = document.documentElement.clientWidth - width - GAP_PX;
  const left = around.left + around.width / 2 - width / 2;
  const above = around.top - height - GAP_PX;
  tip.style.left = `${Math.max(GAP_PX, Math.min(left, room))}px`;
  tip.style.top = `${above < GAP_PX ? around.bottom + GAP_PX : above}px`;
}
