/* What unfold's pages use of the browser, by name: Alpine's build without eval sees no global variable. */
/* That build reads one expression, no statements. These four of unfold's are told in one, before Alpine reads them. */
const ONE_EXPRESSION = [
  ["x-on:click", /^sidebarDesktopOpen = .*;.*$/, "toggleSidebar()"],
  ["x-on:focus", /^openSearchResults = true;.*$/, "beginSearch()"],
  ["x-on:keydown.escape.prevent", /^openSearchResults = false;.*$/, "endSearch()"],
  ["x-on:keydown.enter.prevent", /^if \((.*?)\) (.*)$/, "$1 && $2"],
];

document.addEventListener("alpine:init", () => {
  for (const [name, statements, expression] of ONE_EXPRESSION) {
    for (const element of document.querySelectorAll(`[${CSS.escape(name)}]`)) {
      element.setAttribute(name, element.getAttribute(name).replace(statements, expression));
    }
  }

  const storage = {
    getItem: (name) => localStorage.getItem(name),
    setItem: (name, value) => localStorage.setItem(name, value),
  };
  const address = { location: { get pathname() { return location.pathname; }, get search() { return location.search; } } };

  Alpine.data("theme", (chosen) => ({ ...theme(chosen), localStorage: storage, window: address }));
  Alpine.data("searchForm", searchForm);
  Alpine.data("searchDropdown", () => ({
    ...searchDropdown(),
    beginSearch() {
      this.openSearchResults = true;
      this.currentIndex = 0;
    },
    endSearch() {
      const field = this.$refs.searchInput;
      this.openSearchResults = false;
      if (field.value === "") field.blur();
      else field.value = "";
    },
  }));
  Alpine.data("searchCommand", searchCommand);

  /* The body of every page: its tab and its side bar. */
  Alpine.data("page", (firstTab) => ({
    activeTab: firstTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    toggleSidebar() {
      this.sidebarDesktopOpen = !this.sidebarDesktopOpen;
    },
    init() {
      this.activeTab = (firstTab && getCurrentTab()) || firstTab;
      this.$watch("sidebarDesktopOpen", (open) => storage.setItem("sidebarDesktopOpen", open ? "1" : "0"));
    },
  }));

  /* A text in a field, which a button copies. */
  Alpine.data("copied", () => ({
    copied: false,
    copy() {
      const field = this.$root.querySelector("input");
      field.select();
      navigator.clipboard?.writeText(field.value).then(() => { this.copied = true; });
    },
  }));
});
