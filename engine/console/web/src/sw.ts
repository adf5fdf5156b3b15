declare const SHELL: string[]; declare const VERSION: string; export {}; void SHELL; void VERSION;
