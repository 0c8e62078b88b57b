// Owns the start: styles, session, the application.
import './styles/tokens.css';
import './styles/base.css';
import './lib/preferences.svelte.ts';
import { mount } from 'svelte';
import App from './App.svelte';
import { session } from './lib/session.svelte.ts';

void session.start();
session.watch();
mount(App, { target: document.getElementById('app')! });
