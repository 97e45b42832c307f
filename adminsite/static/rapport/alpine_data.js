/* What unfold's pages use of the browser, by name: Alpine's build without eval sees no global variable. */
document.addEventListener("alpine:init", () => {
  const storage = {
    getItem: (name) => localStorage.getItem(name),
    setItem: (name, value) => localStorage.setItem(name, value),
  };
  const address = { location: { get pathname() { return location.pathname; }, get search() { return location.search; } } };

  Alpine.data("theme", (chosen) => ({ ...theme(chosen), localStorage: storage, window: address }));
  Alpine.data("searchForm", searchForm);
  Alpine.data("searchDropdown", searchDropdown);
  Alpine.data("searchCommand", searchCommand);

  /* The body of every page: its tab and its side bar. */
  Alpine.data("page", (firstTab) => ({
    activeTab: firstTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
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
